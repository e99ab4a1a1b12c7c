import MobieCore

/// Components that only wait, and note when the Denoiser first started with a prompt.
final class WaitingBackend: EditBackend {
    /// How long each component takes.
    struct Durations {
        var textEncoder = Duration.zero
        var conditioner = Duration.zero
        var encoder = Duration.zero
        var denoiser = Duration.zero
        var decoder = Duration.zero
    }

    /// A tensor that knows the prompt that it was made with.
    struct Tensor: Sendable {
        var prompt: [Int32] = []
    }

    /// When the Denoiser first started with each prompt, in nanoseconds.
    actor Starts {
        private var times: [[Int32]: Int64] = [:]

        func note(_ prompt: [Int32]) {
            if times[prompt] == nil { times[prompt] = MonotonicClock.nanoseconds() }
        }

        func time(of prompt: [Int32]) -> Int64? { times[prompt] }
    }

    private let durations: Durations
    private let latentsCount: Int
    private let starts: Starts?

    init(_ durations: Durations, latentsCount: Int, starts: Starts?) {
        (self.durations, self.latentsCount, self.starts) = (durations, latentsCount, starts)
    }

    func textStates(ids: [Int32]) async throws -> Tensor {
        try await wait(durations.textEncoder)
        return Tensor(prompt: ids)
    }

    func condition(_ states: Tensor, timestep: Int, guidance: GuidanceScales?) async throws -> [String: Tensor] {
        try await wait(durations.conditioner)
        return ["text_kv": states]
    }

    func encode(_ frame: Int) async throws -> Tensor {
        try await wait(durations.encoder)
        return Tensor()
    }

    func denoise(imageLatents: Tensor?, latents: Tensor, conditioning: [String: Tensor]) async throws -> Tensor {
        if let starts, let states = conditioning["text_kv"] { await starts.note(states.prompt) }
        try await wait(durations.denoiser)
        return Tensor()
    }

    func decode(_ latents: Tensor) async throws -> Int {
        try await wait(durations.decoder)
        return 0
    }

    func latents(_ values: [Float]) async throws -> Tensor { Tensor() }

    func values(of latents: Tensor) async throws -> [Float] { [Float](repeating: 0, count: latentsCount) }

    private func wait(_ duration: Duration) async throws {
        if duration > .zero { try await Task.sleep(for: duration) }
    }
}
