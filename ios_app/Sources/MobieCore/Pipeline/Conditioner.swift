import Foundation

/// Runs TextEncoder and Conditioner for instructions, beside the frames, and keeps what they gave.
actor Conditioner<Backend: EditBackend> {
    /// Instructions whose tensors are kept; the oldest go first.
    static var capacity: Int { 16 }

    private struct OutputKey: Hashable {
        let prompt: ExactString
        let timestep: Int
        let guidance: GuidanceScales?
    }

    private let backend: Backend
    private let manifest: ModelManifest
    private let tokenizer: CLIPTokenizer
    private var states: LimitedCache<ExactString, Backend.Tensor>
    private var outputs: LimitedCache<OutputKey, [String: Backend.Tensor]>

    init(backend: Backend, manifest: ModelManifest, tokenizer: CLIPTokenizer) {
        self.backend = backend
        self.manifest = manifest
        self.tokenizer = tokenizer
        let passes = manifest.schedule.steps.count * max(1, manifest.method.guidance.passes.count)
        states = LimitedCache(capacity: Self.capacity + 1)
        outputs = LimitedCache(capacity: Self.capacity * passes)
    }

    /// The conditioning of an instruction.
    ///
    /// - Throws: `EditError`, `TokenizerError`, what the backend throws, or `CancellationError`.
    func condition(_ instruction: EditInstruction) async throws -> Conditioning<Backend.Tensor> {
        if instruction.prompt.allSatisfy(\.isWhitespace) { throw EditError.emptyPrompt }
        let guidance = manifest.method.guidance
        let scales = try instruction.scales(guidance)
        var steps: [[Conditioning<Backend.Tensor>.Pass]] = []
        for step in manifest.schedule.steps {
            var passes: [Conditioning<Backend.Tensor>.Pass] = []
            for pass in guidance.passes {
                let weight = pass.weight.value(textGuidance: scales.text, imageGuidance: scales.image)
                // A pass that counts for nothing is not run.
                if weight == 0 { continue }
                let key = OutputKey(
                    prompt: ExactString(pass.usesText ? instruction.prompt : ""), timestep: step.timestep,
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
        if let known = outputs[key] { return known }
        try Task.checkCancellation()
        let text = try await textStates(key.prompt)
        try Task.checkCancellation()
        let made = try await backend.condition(text, timestep: key.timestep, guidance: key.guidance)
        outputs[key] = made
        return made
    }

    private func textStates(_ prompt: ExactString) async throws -> Backend.Tensor {
        if let known = states[prompt] { return known }
        let made = try await backend.textStates(ids: try tokenizer.encode(prompt.text).ids)
        states[prompt] = made
        return made
    }
}

/// A dictionary that forgets what was set first when it is full.
struct LimitedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let capacity: Int
    private var values: [Key: Value] = [:]
    private var order: [Key] = []

    /// - Precondition: `capacity` is positive.
    init(capacity: Int) {
        precondition(capacity > 0, "A cache needs room.")
        self.capacity = capacity
    }

    var count: Int { values.count }

    subscript(key: Key) -> Value? {
        get { values[key] }
        set {
            // Nothing is taken out by hand.
            guard let newValue else { return }
            if values.updateValue(newValue, forKey: key) == nil { order.append(key) }
            if order.count > capacity { values[order.removeFirst()] = nil }
        }
    }

    mutating func clear() {
        values = [:]
        order = []
    }
}
