import Foundation

@testable import MobieCore

/// Components that take virtual time and sometimes fail, as a seed says: the same seed, the same faults.
///
/// Frames and tensors are counted as long as they are alive, and tensors carry what they were made of, so that a result
/// shows whose frame and whose prompt it is.
final class SimulatedBackend: EditBackend {
    struct Fault: LocalizedError {
        let component: ComponentName
        var errorDescription: String? { "The \(component.rawValue) failed as planned." }
    }

    /// A frame, an input or an output.
    struct Value: Sendable {
        var frame = 0
        /// Of the prompt.
        var mark: UInt64 = 0
        let token: Census.Token
    }

    /// How long components take, and how often they fail.
    struct Plan: Sendable {
        var seed: UInt64
        /// Nanoseconds, before the jitter of a quarter.
        var durations: [ComponentName: Int64] = [
            .textEncoder: 20_000_000, .conditioner: 8_000_000, .encoder: 10_000_000, .denoiser: 60_000_000,
            .decoder: 12_000_000,
        ]
        /// One call in so many takes 2 s longer; 0 for none.
        var stallsOneIn: UInt64 = 0
        /// One call in so many fails at its end; 0 for none.
        var failsOneIn: UInt64 = 0

        func duration(_ component: ComponentName, _ call: UInt64) -> Int64 {
            var source = source(component, call, salt: 1)
            let base = durations[component] ?? 0
            let jitter = base / 2 > 0 ? Int64(source.next() % UInt64(base / 2)) - base / 4 : 0
            let isStalled = stallsOneIn > 0 && source.next() % stallsOneIn == 0
            return base + jitter + (isStalled ? 2_000_000_000 : 0)
        }

        func fails(_ component: ComponentName, _ call: UInt64) -> Bool {
            var source = source(component, call, salt: 2)
            return failsOneIn > 0 && source.next() % failsOneIn == 0
        }

        private func source(_ component: ComponentName, _ call: UInt64, salt: UInt64) -> SplitMix {
            let place = UInt64(ComponentName.allCases.firstIndex(of: component) ?? 0)
            var source = SplitMix(state: seed &+ call &* 16 &+ place &* 2 &+ salt &* 0x1234_5678_9ABC)
            _ = source.next()
            return source
        }
    }

    let clock: VirtualClock
    let census = Census()
    private let plan: Plan
    private let calls = Locked<[ComponentName: UInt64]>([:])

    init(clock: VirtualClock, plan: Plan) {
        (self.clock, self.plan) = (clock, plan)
    }

    func makeFrame(_ number: Int) -> Value {
        Value(frame: number, token: census.makeToken())
    }

    /// What a result shows of a prompt's ids.
    static func mark(_ ids: [Int32]) -> UInt64 {
        ids.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64(UInt32(bitPattern: $1))) &* 1_099_511_628_211 }
    }

    func textStates(ids: [Int32]) async throws -> Value {
        try await work(.textEncoder)
        return Value(mark: Self.mark(ids), token: census.makeToken())
    }

    func condition(_ states: Value, timestep: Int, guidance: GuidanceScales?) async throws -> [String: Value] {
        try await work(.conditioner)
        return ["k": Value(mark: states.mark, token: census.makeToken())]
    }

    func encode(_ frame: Value) async throws -> Value {
        try await work(.encoder)
        return Value(frame: frame.frame, token: census.makeToken())
    }

    func denoise(imageLatents: Value?, latents: Value, conditioning: [String: Value]) async throws -> Value {
        try await work(.denoiser)
        return Value(
            frame: imageLatents?.frame ?? latents.frame, mark: conditioning["k"]?.mark ?? 0, token: census.makeToken())
    }

    func decode(_ latents: Value) async throws -> Value {
        try await work(.decoder)
        return Value(frame: latents.frame, mark: latents.mark, token: census.makeToken())
    }

    func latents(_ values: [Float]) async throws -> Value {
        Value(token: census.makeToken())
    }

    func values(of latents: Value) async throws -> [Float] {
        [0, 0, 0, 0]
    }

    private func work(_ component: ComponentName) async throws {
        let call = calls.withLock {
            $0[component, default: 0] += 1
            return $0[component, default: 0]
        }
        try await clock.sleep(plan.duration(component, call))
        if plan.fails(component, call) { throw Fault(component: component) }
    }
}
