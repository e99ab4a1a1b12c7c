import Foundation

@testable import MobieCore

/// A backend whose components are a line of arithmetic each; the same Denoiser as in scripts/vectors/schedules.py.
///
/// It counts what runs at once, waits where it is told to, and fails on the frames it is told to.
final class StandInBackend: EditBackend {
    struct Broken: LocalizedError, Equatable {
        let component: ComponentName
        var errorDescription: String? { "broken" }
    }

    /// What happens in one call of a component; `mark` is the frame's number where one is known.
    typealias Hook = @Sendable (ComponentName, _ mark: Int) async throws -> Void

    struct Frame: Sendable, Equatable {
        let number: Int
        var values: [Float] = []
    }

    struct Tensor: Sendable {
        var mark = 0
        var values: [Float]
    }

    let log = Log()
    private let latentsGiven: Int?
    private let hook: Hook

    /// A backend whose Denoiser gives so many zeros; where it is nil, what it should.
    init(latentsGiven: Int? = nil, hook: @escaping Hook = { _, _ in }) {
        self.latentsGiven = latentsGiven
        self.hook = hook
    }

    func textStates(ids: [Int32]) async throws -> Tensor {
        try await call(.textEncoder, 0) { Tensor(values: ids.map(Float.init)) }
    }

    func condition(_ states: Tensor, timestep: Int, guidance: GuidanceScales?) async throws -> [String: Tensor] {
        // Only the empty prompt has nothing between start and end.
        let sign: Float = states.values[1] == states.values[2] ? -1 : 1
        return try await call(.conditioner, 0) { ["k": Tensor(values: [sign * Float(timestep) / 1000])] }
    }

    func encode(_ frame: Frame) async throws -> Tensor {
        try await call(.encoder, frame.number) { Tensor(mark: frame.number, values: frame.values) }
    }

    func denoise(imageLatents: Tensor?, latents: Tensor, conditioning: [String: Tensor]) async throws -> Tensor {
        try await call(.denoiser, imageLatents?.mark ?? 0) {
            if let latentsGiven { return Tensor(values: [Float](repeating: 0, count: latentsGiven)) }
            let k = conditioning["k"]?.values.first ?? .nan
            let mixed = latents.values.enumerated().map { index, value in
                Self.half(0.75 * value + 0.25 * (imageLatents?.values[index] ?? 0) + k)
            }
            return Tensor(mark: imageLatents?.mark ?? 0, values: mixed)
        }
    }

    func decode(_ latents: Tensor) async throws -> Frame {
        try await call(.decoder, latents.mark) { Frame(number: latents.mark, values: latents.values) }
    }

    func latents(_ values: [Float]) async throws -> Tensor {
        Tensor(values: values.map(Self.half))
    }

    func values(of latents: Tensor) async throws -> [Float] {
        latents.values
    }

    private static func half(_ value: Float) -> Float {
        HalfPrecision.value(of: HalfPrecision.bits(of: Double(value)))
    }

    private func call<Result>(_ component: ComponentName, _ mark: Int, _ make: () -> Result) async throws -> Result {
        await log.enter(component)
        do {
            try await hook(component, mark)
        } catch {
            await log.leave(component)
            throw error
        }
        await log.leave(component)
        return make()
    }

    /// What ran, and how much of it at once.
    actor Log {
        private(set) var calls: [ComponentName: Int] = [:]
        private(set) var mostAtOnce: [ComponentName: Int] = [:]
        private(set) var mostComponentsAtOnce = 0
        private var running: [ComponentName: Int] = [:]

        func enter(_ component: ComponentName) {
            calls[component, default: 0] += 1
            running[component, default: 0] += 1
            mostAtOnce[component] = max(mostAtOnce[component] ?? 0, running[component] ?? 0)
            mostComponentsAtOnce = max(mostComponentsAtOnce, running.values.filter { $0 > 0 }.count)
        }

        func leave(_ component: ComponentName) {
            running[component, default: 0] -= 1
        }
    }
}

/// Lets a task wait until a test lets it go.
actor Latch {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var arrivals = 0
    private var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

    func wait() async {
        arrivals += 1
        for watcher in watchers where watcher.count <= arrivals { watcher.continuation.resume() }
        watchers.removeAll { $0.count <= arrivals }
        if isOpen { return }
        await withCheckedContinuation { waiting.append($0) }
    }

    func open() {
        isOpen = true
        for one in waiting { one.resume() }
        waiting = []
    }

    /// Whether nobody has come yet.
    func isFirst() -> Bool {
        arrivals == 0
    }

    /// Returns when so many tasks have come.
    func arrived(_ count: Int = 1) async {
        if arrivals >= count { return }
        await withCheckedContinuation { watchers.append((count, $0)) }
    }
}
