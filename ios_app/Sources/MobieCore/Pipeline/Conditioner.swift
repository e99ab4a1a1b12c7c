import Foundation

/// Runs TextEncoder and Conditioner for instructions, beside the frames, and keeps what they gave, by content: prompts
/// of the same ids share everything, whatever they look like.
actor Conditioner<Backend: EditBackend> {
    /// Instructions whose tensors are kept; those not used for the longest time go first.
    static var capacity: Int { 16 }

    private struct OutputKey: Hashable {
        let prompt: [Int32]
        let timestep: Int
        let guidance: GuidanceScales?
    }

    private let backend: Backend
    private let manifest: ModelManifest
    private let tokenizer: CLIPTokenizer
    private var states: LeastRecentlyUsed<[Int32], Backend.Tensor>
    private var outputs: LeastRecentlyUsed<OutputKey, [String: Backend.Tensor]>

    init(backend: Backend, manifest: ModelManifest, tokenizer: CLIPTokenizer) {
        self.backend = backend
        self.manifest = manifest
        self.tokenizer = tokenizer
        let passes = manifest.schedule.steps.count * max(1, manifest.method.guidance.passes.count)
        states = LeastRecentlyUsed(capacity: Self.capacity + 1)
        outputs = LeastRecentlyUsed(capacity: Self.capacity * passes)
    }

    /// The conditioning of an instruction.
    ///
    /// - Throws: `EditError`, `TokenizerError`, what the backend throws, or `CancellationError`.
    func condition(_ instruction: EditInstruction) async throws -> Conditioning<Backend.Tensor> {
        if instruction.prompt.allSatisfy(\.isWhitespace) { throw EditError.emptyPrompt }
        let guidance = manifest.method.guidance
        let scales = try instruction.scales(guidance)
        let prompt = try tokenizer.encode(instruction.prompt).ids
        let null = try tokenizer.encode("").ids
        var steps: [[Conditioning<Backend.Tensor>.Pass]] = []
        for step in manifest.schedule.steps {
            var passes: [Conditioning<Backend.Tensor>.Pass] = []
            for pass in guidance.passes {
                let weight = pass.weight.value(textGuidance: scales.text, imageGuidance: scales.image)
                // A pass that counts for nothing is not run.
                if weight == 0 { continue }
                let key = OutputKey(
                    prompt: pass.usesText ? prompt : null, timestep: step.timestep,
                    guidance: guidance.kind == .embedded ? scales : nil)
                let tensors = try await tensors(key)
                passes.append(.init(tensors: tensors, usesImage: pass.usesImage, weight: Float(weight)))
            }
            steps.append(passes)
        }
        return Conditioning(steps: steps)
    }

    /// Forgets everything, to free memory.
    func clear() {
        states.clear()
        outputs.clear()
    }

    private func tensors(_ key: OutputKey) async throws -> [String: Backend.Tensor] {
        if let known = outputs.value(of: key) { return known }
        try Task.checkCancellation()
        let text = try await textStates(key.prompt)
        try Task.checkCancellation()
        let made = try await backend.condition(text, timestep: key.timestep, guidance: key.guidance)
        outputs.keep(made, as: key)
        return made
    }

    private func textStates(_ ids: [Int32]) async throws -> Backend.Tensor {
        if let known = states.value(of: ids) { return known }
        let made = try await backend.textStates(ids: ids)
        states.keep(made, as: ids)
        return made
    }
}
