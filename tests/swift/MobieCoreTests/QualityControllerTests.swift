import Foundation
import Testing

@testable import MobieCore

struct QualityControllerTests {
    private let controller: QualityController

    init() throws {
        let levels = [(nil, 0.05), (15.0, 0.06), (10.0, 0.1), (5.0, 0.2)].map { cap, budget in
            QualityLevel(frameRateCap: cap, similarityThreshold: nil, variant: "model", latencyBudget: budget)
        }
        controller = try #require(QualityController(levels: levels))
    }

    private func samples(_ times: StrideTo<Double>, _ make: (Double) -> QualitySample) -> [QualitySample] {
        times.map(make)
    }

    @Test func heatActsAtOnceAndTheWayBackTakesCalm() {
        let hot = controller.replay([
            QualitySample(time: 0), QualitySample(time: 1, thermal: .serious),
            QualitySample(time: 2, thermal: .critical),
        ])
        #expect(hot.map(\.level) == [0, 2, 3])
        #expect(hot.map(\.reason) == [.unchanged, .heat, .heat])
        let all =
            [QualitySample(time: 0, thermal: .critical)]
            + samples(stride(from: 1, to: 60, by: 1)) { QualitySample(time: $0) }
        let levels = controller.replay(all).map(\.level)
        #expect(levels.first == 3)
        #expect(levels.last == 0)
        // One level at a time, ten seconds of calm before each.
        #expect(levels.firstIndex(of: 2) == 11)
        #expect(zip(levels, levels.dropFirst()).allSatisfy { $0 - $1 <= 1 })
    }

    @Test func fairHeatAndPressureHoldTheLevel() {
        let all =
            [QualitySample(time: 0, thermal: .serious)]
            + samples(stride(from: 1, to: 100, by: 1)) { QualitySample(time: $0, thermal: .fair) }
        #expect(controller.replay(all).last?.level == 2)
        let pressed =
            [QualitySample(time: 0, pressure: .serious)]
            + samples(stride(from: 1, to: 100, by: 1)) { QualitySample(time: $0, pressure: .fair) }
        #expect(controller.replay(pressed).last?.level == 2)
    }

    @Test func pressureAndPowerSetAFloor() {
        for (sample, level, reason) in [
            (QualitySample(time: 0, pressure: .serious), 2, QualityController.Reason.pressure),
            (QualitySample(time: 0, pressure: .shutdown), 3, .pressure),
            (QualitySample(time: 0, battery: 0.1), 1, .power),
            (QualitySample(time: 0, isLowPowerMode: true), 1, .power),
            (QualitySample(time: 0, battery: 0.5), 0, .unchanged),
        ] {
            let state = controller.next(.init(), sample)
            #expect((state.level, state.reason) == (level, reason))
        }
        let low = samples(stride(from: 0, to: 100, by: 1)) { QualitySample(time: $0, isLowPowerMode: true) }
        #expect(controller.replay(low).allSatisfy { $0.level == 1 })
    }

    @Test func aShortStallChangesNothingAndALongOneDoes() {
        let stall =
            [0.0, 0.5, 0.9].map { QualitySample(time: $0, latency: 0.3) } + [QualitySample(time: 1.1, latency: 0.02)]
        #expect(controller.replay(stall).allSatisfy { $0.level == 0 })
        let slow = samples(stride(from: 0, to: 10, by: 0.5)) { QualitySample(time: $0, latency: 0.15) }
        // Level 3 has a budget of 0.2, in which 0.15 fits.
        #expect(controller.replay(slow).last?.level == 3)
        #expect(controller.replay(slow)[2].reason == .slow)
        // Between headroom and budget the level stays.
        let between = slow + samples(stride(from: 10, to: 100, by: 1)) { QualitySample(time: $0, latency: 0.15) }
        #expect(controller.replay(between).last?.level == 3)
    }

    @Test func stepsUpThatHadToBeTakenBackComeLaterAndLater() {
        // Fast enough for level 1, too slow for level 0: without patience the level would swing every ten seconds.
        var state = QualityController.State()
        var changes: [Double] = []
        for time in stride(from: 0.0, to: 400, by: 0.5) {
            let next = controller.next(state, QualitySample(time: time, latency: state.level == 0 ? 0.06 : 0.03))
            if next.level < state.level { changes.append(time) }
            state = next
        }
        let waits = zip(changes.dropFirst(), changes).map { $0 - $1 }
        #expect(changes.count < 10)
        #expect(zip(waits.dropFirst(), waits).allSatisfy { $0 >= $1 })
        #expect((waits.last ?? 0) >= 80)
    }

    @Test func aLogIsReplayedToTheSameStates() throws {
        var source = SplitMix(state: 5)
        var time = 0.0
        let log = (0..<500).map { _ in
            time += Double(source.next() % 1000) / 500
            return QualitySample(
                time: time, thermal: ThermalState.allCases[Int(source.next() % 4)],
                pressure: PressureLevel.allCases[Int(source.next() % 5)], battery: Double(source.next() % 100) / 100,
                isLowPowerMode: source.next() % 9 == 0, latency: Double(source.next() % 300) / 1000)
        }
        let states = controller.replay(log)
        let written = try JSONEncoder().encode(log)
        let read = try JSONDecoder().decode([QualitySample].self, from: written)
        #expect(controller.replay(read) == states)
        #expect(states.allSatisfy { controller.levels.indices.contains($0.level) })
        // A state that was stored goes on as if nothing had happened.
        let stored = try JSONDecoder().decode(QualityController.State.self, from: JSONEncoder().encode(states[249]))
        var state = stored
        for (sample, expected) in zip(log[250...], states[250...]) {
            state = controller.next(state, sample)
            #expect(state == expected)
        }
    }

    @Test func oneLevelIsEnoughAndNoneIsNot() throws {
        #expect(QualityController(levels: []) == nil)
        let only = try #require(QualityController(levels: [controller.levels[0]]))
        let hot = only.next(.init(), QualitySample(time: 0, thermal: .critical, isLowPowerMode: true, latency: 9))
        #expect(hot.level == 0)
        #expect(only.level(hot) == controller.levels[0])
    }
}
