import MobieCore

/// A real inference through all five components: only after one is a model known to work.
enum WarmUp {
    /// Runs every component once on a frame, without anything that a user said.
    ///
    /// - Throws: `ModelFailure` where the numbers are not numbers, what the backend throws, or `CancellationError`.
    static func run<Backend: EditBackend>(
        _ backend: Backend, _ manifest: ModelManifest, on frame: Backend.Frame
    ) async throws {
        let ids = [Int32](repeating: 0, count: manifest.tokenizer.positions)
        let guidance = manifest.method.guidance
        let scales = GuidanceScales(text: guidance.text.standard, image: guidance.image.standard)
        guard let step = manifest.schedule.steps.first else {
            throw ModelFailure(.damaged, "The model's schedule has no steps.")
        }
        let states = try await backend.textStates(ids: ids)
        try Task.checkCancellation()
        let conditioning = try await backend.condition(
            states, timestep: step.timestep, guidance: guidance.kind == .embedded ? scales : nil)
        try Task.checkCancellation()
        let image = try await backend.encode(frame)
        try Task.checkCancellation()
        let count = manifest.latents.shape.reduce(1, *)
        let noise = DeterministicNoise.standardNormal(seed: 0, stream: 0, count: count).map(HalfPrecision.value)
        let latents = try await backend.denoise(
            imageLatents: image, latents: try await backend.latents(noise), conditioning: conditioning)
        try Task.checkCancellation()
        let values = try await backend.values(of: latents)
        guard values.count == count else {
            throw ModelFailure(.inference, "The Denoiser gave \(values.count) latents instead of \(count).")
        }
        guard values.allSatisfy(\.isFinite) else {
            throw ModelFailure(.inference, "The Denoiser gave latents that are not finite.")
        }
        _ = try await backend.decode(latents)
        try Task.checkCancellation()
    }
}
