import Testing

@testable import MobieCore

/// Sessions on virtual time under storms of events; `SessionSimulation` says what is checked.
struct SoakTests {
    @Test func aCalmSessionDeliversAtTheSlowestStagesRate() async throws {
        var simulation = try SessionSimulation(seed: 1, storm: .calm)
        let summary = try await simulation.run(frames: 600)
        // A frame every 34 ms comes, one in 60 ms (with jitter) can be edited.
        let rate = Double(summary.deliveredCount) / (Double(summary.duration) / 1e9)
        #expect(rate >= 0.95 * 1000 / 60)
        #expect(summary.failed == 0)
        #expect(Set(summary.drops.keys) == ["replaced"])
        #expect(summary.peakLive == FrameGate.maximumLiveFrames)
    }

    @Test func theSameSeedGivesTheSameRun() async throws {
        var first = try SessionSimulation(seed: 7, storm: .wild, similarity: 4)
        var second = try SessionSimulation(seed: 7, storm: .wild, similarity: 4)
        var one = try await first.run(frames: 300)
        var other = try await second.run(frames: 300)
        // What is just being freed is a matter of threads.
        (one.peakAlive, other.peakAlive) = (0, 0)
        #expect(one == other)
    }

    @Test(arguments: 1...6)
    func stormsBreakNothing(offset: UInt64) async throws {
        let seed = Effort.seed(of: "storm \(offset)") &* 1000 &+ offset
        var simulation = try SessionSimulation(
            seed: seed, storm: .wild, schedule: offset % 3 == 0 ? "three-pass" : "embedded",
            similarity: offset % 2 == 0 ? 4 : nil)
        let summary = try await simulation.run(frames: Effort.count(sample: 400, slow: 20_000))
        let kinds: Set = ["replaced", "outOfOrder", "paused", "failed", "rateLimited"]
        #expect(kinds.isSubset(of: summary.drops.keys), "seed \(seed)")
        #expect(summary.deliveredCount > 10)
    }

    @Test func promptsThatChangeWithEveryFrameStallNothing() async throws {
        let seed = Effort.seed(of: "restless")
        var simulation = try SessionSimulation(seed: seed, storm: .restless)
        let summary = try await simulation.run(frames: 600)
        let rate = Double(summary.deliveredCount) / (Double(summary.duration) / 1e9)
        #expect(rate >= 0.95 * 1000 / 60)
        // Conditioning takes 28 ms, or nothing where it is kept.
        #expect(summary.changes["applied", default: 0] > 200)
        #expect(summary.changes["failed"] == nil)
    }

    /// A million frames of everything, with MOBIE_SLOW=1.
    @Test func aLongSessionStaysSmall() async throws {
        let seed = Effort.seed(of: "soak")
        var storm = SessionSimulation.Storm.wild
        // A long time has room for recovery.
        if Effort.isSlow { (storm.heatSeconds, storm.coolStates) = (10, 56) }
        var simulation = try SessionSimulation(seed: seed, storm: storm, similarity: 4)
        let summary = try await simulation.run(frames: Effort.count(sample: 1000, slow: 1_000_000))
        print("soak: \(summary.deliveredCount) edited, \(summary.drops), \(summary.changes)")
        #expect(summary.peakAlive <= simulation.aliveBound(stepsTimesPasses: 1), "seed \(seed)")
        #expect(summary.levels == [0, 1, 2, 3])
    }
}
