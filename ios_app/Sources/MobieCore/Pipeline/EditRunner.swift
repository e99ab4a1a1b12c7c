/// Runs a model's schedule of steps and passes on one frame.
///
/// Sums are kept in single precision between steps, in the order of `mobie edit`, so that both give the same pixels;
/// a model of one pass and one step goes from tensor to tensor without a look at its numbers.
struct EditRunner<Backend: EditBackend>: Sendable {
    /// Noise of one frame: what it starts from, and fresh noise after each step that takes some.
    struct Noise: Sendable {
        let initial: [Float]
        let initialTensor: Backend.Tensor
        let fresh: [[Float]]
    }

    private let backend: Backend
    private let manifest: ModelManifest
    /// Factors of the image latents and of the noise in what the first step starts from; nil where it is noise alone,
    /// as in models whose Denoiser takes the image latents beside.
    private let start: (image: Float, noise: Float)?

    init(backend: Backend, manifest: ModelManifest) {
        (self.backend, self.manifest) = (backend, manifest)
        guard manifest.startsFromImage, let first = manifest.schedule.steps.first else {
            start = nil
            return
        }
        let kept = manifest.method.noiseSchedule.alphasCumprod(at: first.timestep)
        start = (Float(kept.squareRoot()), Float((1 - kept).squareRoot()))
    }

    /// The noise of a frame: 0 where it is fixed for a session, else the frame's number.
    ///
    /// With n = stream + frame * stride the initial noise is stream n, that after step i (from 0) stream n + 1 + i.
    func noise(seed: UInt64, frame: UInt64) async throws -> Noise {
        let info = manifest.noise
        let (offset, overflow) = frame.multipliedReportingOverflow(by: UInt64(info.frameStride))
        let (first, overflow2) = offset.addingReportingOverflow(UInt64(info.stream))
        let (_, overflow3) = first.addingReportingOverflow(UInt64(manifest.schedule.steps.count))
        if overflow || overflow2 || overflow3 { throw EditError.noiseStreamOutOfRange }
        let count = manifest.latents.shape.reduce(1, *)
        func values(_ stream: UInt64) -> [Float] {
            DeterministicNoise.standardNormal(seed: seed, stream: stream, count: count).map(HalfPrecision.value)
        }
        let initial = values(first)
        let fresh = manifest.schedule.steps.enumerated().filter { $0.element.noise != 0 }.map { index, _ in
            values(first + 1 + UInt64(index))
        }
        return Noise(initial: initial, initialTensor: try await backend.latents(initial), fresh: fresh)
    }

    /// Edited latents: the schedule from noise to the last step's result.
    func denoise(
        _ imageLatents: Backend.Tensor, _ conditioning: Conditioning<Backend.Tensor>, _ noise: Noise
    ) async throws -> Backend.Tensor {
        var (tensor, values) = (noise.initialTensor, noise.initial)
        if let start {
            let image = try await numbers(imageLatents, values.count)
            values = zip(image, values).map { start.image * $0 + start.noise * $1 }
            tensor = try await backend.latents(values)
        }
        var fresh = noise.fresh[...]
        for (step, passes) in zip(manifest.schedule.steps, conditioning.steps) {
            try Task.checkCancellation()
            if let only = passes.first, passes.count == 1, only.weight == 1, step.isEstimate {
                tensor = try await run(only, imageLatents, tensor)
                // The numbers are needed only by a step that is still to come.
                let isLast = step == manifest.schedule.steps.last
                if !isLast { values = try await numbers(tensor, values.count) }
                continue
            }
            var estimate = [Float](repeating: 0, count: values.count)
            for pass in passes {
                let output = try await numbers(try await run(pass, imageLatents, tensor), values.count)
                for index in estimate.indices { estimate[index] += pass.weight * output[index] }
            }
            values = step.advance(values, estimate, step.noise == 0 ? nil : fresh.popFirst())
            tensor = try await backend.latents(values)
        }
        return tensor
    }

    private func numbers(_ latents: Backend.Tensor, _ expected: Int) async throws -> [Float] {
        let found = try await backend.values(of: latents)
        guard found.count == expected else {
            throw EditError.latentsMismatch(found: found.count, expected: expected)
        }
        return found
    }

    private func run(
        _ pass: Conditioning<Backend.Tensor>.Pass, _ imageLatents: Backend.Tensor, _ latents: Backend.Tensor
    ) async throws -> Backend.Tensor {
        let image = pass.usesImage && start == nil ? imageLatents : nil
        return try await backend.denoise(imageLatents: image, latents: latents, conditioning: pass.tensors)
    }
}

extension ModelManifest {
    /// Whether the Denoiser takes no image latents beside the noisy ones: an image-to-image model, which starts from
    /// the frame's latents with the noise of the first timestep (Meng et al. 2021, arXiv 2108.01073).
    var startsFromImage: Bool {
        self[.denoiser]?.inputs.contains { $0.source == .latents } == false
    }
}

extension NoiseSchedule {
    /// Product of 1 - beta up to and including a timestep.
    func alphasCumprod(at timestep: Int) -> Double {
        let (first, last) = (betaStart.squareRoot(), betaEnd.squareRoot())
        let step = (last - first) / Double(max(1, trainTimesteps - 1))
        return (0...max(0, timestep)).reduce(1) { product, index in
            let root = index == trainTimesteps - 1 ? last : first + Double(index) * step
            return product * (1 - root * root)
        }
    }
}

extension ScheduleStep {
    /// Whether the step's result is the estimate itself.
    var isEstimate: Bool { estimate == 1 && latents == 0 && noise == 0 }

    /// The next latents; after the last step, the result.
    func advance(_ latents: [Float], _ estimate: [Float], _ fresh: [Float]?) -> [Float] {
        let (a, b, c) = (Float(self.estimate), Float(self.latents), Float(noise))
        var next = estimate.map { a * $0 }
        if b != 0 { for index in next.indices { next[index] = next[index] + b * latents[index] } }
        if let fresh { for index in next.indices { next[index] = next[index] + c * fresh[index] } }
        return next
    }
}
