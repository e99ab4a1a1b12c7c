import Foundation
import Testing

@testable import MobieCore

struct ModelLifecycleTests {
    private static let failure = ModelFailure(.loading, "It did not load.")

    private func lifecycle(_ events: [ModelLifecycle.Event]) throws -> ModelLifecycle {
        var made = ModelLifecycle()
        for event in events { _ = try made.handle(event) }
        return made
    }

    private static let toReady: [ModelLifecycle.Event] = [.found, .verified, .compiled, .loaded, .warmedUp]

    @Test func theWayToReadyHasItsEffects() throws {
        var model = ModelLifecycle()
        var effects: [[ModelLifecycle.Effect]] = []
        var stages: [ModelLifecycle.Stage?] = [model.stage]
        for event in Self.toReady {
            effects.append(try model.handle(event))
            stages.append(model.stage)
        }
        #expect(effects == [[.verify], [.compile], [.load], [.writeCrashMarker, .warmUp], [.removeCrashMarker]])
        #expect(stages == [nil, .verifying, .compiling, .loading, .warmingUp, nil])
        #expect(model.state == .ready)
    }

    @Test func suspensionAndReturn() throws {
        var model = try lifecycle(Self.toReady)
        #expect(try model.handle(.suspend(.interrupted)) == [])
        #expect(try model.handle(.suspend(.memory)) == [.release])
        #expect(try model.handle(.resume) == [.load])
        #expect(model.state == .loading)
        model = try lifecycle(Self.toReady + [.suspend(.interrupted), .resume])
        #expect(model.state == .ready)
    }

    @Test func failuresFreeTheModelAndCanBeTriedAgain() throws {
        for count in 1...Self.toReady.count {
            var model = try lifecycle(Array(Self.toReady.prefix(count)))
            let isWarmingUp = model.state == .warmingUp
            #expect(
                try model.handle(.fail(Self.failure)) == (isWarmingUp ? [.removeCrashMarker, .release] : [.release]))
            #expect(model.state == .failed(Self.failure))
            #expect(try model.handle(.retry) == [.verify])
        }
    }

    /// Events that cannot happen change nothing, in every state; the marker is written once before every warm-up and
    /// removed after it.
    @Test(arguments: 0..<30)
    func everyEventIsTakenOrRefused(seed: Int) {
        let events: [ModelLifecycle.Event] =
            Self.toReady + [
                .suspend(.memory), .suspend(.interrupted), .resume, .fail(Self.failure), .retry, .unload,
            ]
        var source = SplitMix(state: UInt64(seed))
        var model = ModelLifecycle()
        var isMarked = false
        for _ in 0..<300 {
            let before = model
            let event = events[Int(source.next() % UInt64(events.count))]
            do {
                for effect in try model.handle(event) {
                    if effect == .writeCrashMarker {
                        #expect(!isMarked)
                        isMarked = true
                    }
                    if effect == .removeCrashMarker {
                        #expect(isMarked)
                        isMarked = false
                    }
                }
                #expect(isMarked == (model.state == .warmingUp))
            } catch {
                #expect(error == ModelLifecycle.InvalidTransition(state: before.state, event: event))
                #expect(model == before)
            }
        }
    }

    @Test func durationsAreRememberedAModel() throws {
        let folder = try TemporaryFolder()
        let file = folder.url.appendingPathComponent("durations.json")
        var durations = StageDurations(contentsOf: file)
        #expect(!durations.isExpectedCached(.compiling, model: "a"))
        #expect(durations.progress(.compiling, model: "a", elapsed: 2).fraction == nil)
        durations.record(.compiling, model: "a", seconds: 8)
        durations.record(.loading, model: "a", seconds: .nan)
        try durations.write(to: file)
        let read = StageDurations(contentsOf: file)
        #expect(read == durations)
        #expect(read.isExpectedCached(.compiling, model: "a"))
        #expect(!read.isExpectedCached(.compiling, model: "b"))
        #expect(read.progress(.compiling, model: "a", elapsed: 2).fraction == 0.25)
        #expect(read.progress(.compiling, model: "a", elapsed: 20).fraction == 1)
        try folder.write("{", to: "durations.json")
        #expect(StageDurations(contentsOf: file) == StageDurations())
    }

    @Test func aCrashDuringWarmUpLeadsToOtherComputeUnits() throws {
        let folder = try TemporaryFolder()
        let marker = CrashMarker(file: folder.url.appendingPathComponent("warming-up.json"))
        try marker.remove()
        #expect(try marker.plan(model: "a", recommended: .all).explanation == nil)
        for (tried, next) in [
            (ModelComponent.ComputeUnits.all, ModelComponent.ComputeUnits.cpuAndGPU),
            (.cpuAndNeuralEngine, .cpuAndGPU), (.cpuAndGPU, .cpuOnly),
        ] {
            try marker.write(.init(model: "a", computeUnits: tried))
            let plan = try marker.plan(model: "a", recommended: .all)
            #expect(plan.computeUnits == next)
            #expect(plan.explanation?.contains(tried.rawValue) == true)
        }
        #expect(try marker.plan(model: "b", recommended: .all).computeUnits == .all)
        try marker.write(.init(model: "a", computeUnits: .cpuOnly))
        #expect { try marker.plan(model: "a", recommended: .all) } throws: { ($0 as? ModelFailure)?.kind == .crashed }
        try marker.remove()
        #expect(marker.unfinishedAttempt() == nil)
        try folder.write("damaged", to: "warming-up.json")
        #expect(try marker.plan(model: "a", recommended: .cpuAndGPU).computeUnits == .cpuAndGPU)
    }

    @Test func failuresSayWhatToDo() {
        for kind in [ModelFailure.Kind.damaged, .compilation, .loading, .inference, .unsupported, .crashed] {
            let failure = ModelFailure(kind, "It broke.")
            #expect(failure.errorDescription == "It broke.")
            #expect(failure.recoverySuggestion?.isEmpty == false)
        }
    }
}
