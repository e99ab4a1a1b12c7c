import Foundation
import MobieCore
import Testing

@testable import MobieCoreML

struct ModelStarterTests {
    private static let system = SystemIdentity(system: "17.4 (21E219)", device: "iPhone16,1")
    private static let way = ["compile", "load all", "textStates 77", "decode"]
    private let scratch: ScratchFolder
    private let model: ScratchFolder
    private let folder: ModelFolder
    private let script = Script()

    init() throws {
        scratch = try ScratchFolder()
        model = try ScratchFolder()
        folder = try Fixtures.modelFolder(in: model)
    }

    private func starter(
        latents: [Float]? = nil, refusal: ModelFailure? = nil, choice: ComputeUnitChoice = ComputeUnitChoice()
    ) -> ModelStarter<StandInRuntime> {
        ModelStarter(
            folder: folder, runtime: StandInRuntime(script: script, scratch: scratch, latentsGiven: latents),
            places: .init(
                cache: CompiledModelCache(folder: scratch.url.appendingPathComponent("cache")), records: scratch.url),
            computeUnits: choice, system: Self.system, support: { _ in refusal })
    }

    private var marker: CrashMarker {
        CrashMarker(file: scratch.url.appendingPathComponent("\(folder.manifest.digest)-warming-up.json"))
    }

    @Test func aStartEndsWithARealInference() async throws {
        let starter = starter()
        #expect(await !starter.isExpectedCached())
        _ = try await starter.start()
        #expect(await starter.state == .ready)
        let size = folder.manifest.frame
        #expect(
            await script.events
                == [String](repeating: "compile", count: 5) + [
                    "load all", "textStates 77", "condition true", "encode \(size.width)x\(size.height)",
                    "denoise", "decode",
                ])
        #expect(marker.unfinishedAttempt() == nil)
        #expect(await starter.explanation == nil)
        #expect(await Set(starter.durations.keys) == [.verifying, .compiling, .loading, .warmingUp])
        // A second start gives the same backend.
        _ = try await starter.start()
        #expect(await script.count("decode") == 1)
        let next = self.starter()
        #expect(await next.isExpectedCached())
        _ = try await next.start()
        #expect(await script.count("compile") == 5)
    }

    @Test func theMarkerIsThereWhileTheModelIsWarmedUp() async throws {
        let starter = starter()
        await script.close("denoise")
        let task = Task { try await starter.start() }
        await script.began("denoise")
        #expect(marker.unfinishedAttempt()?.model == folder.manifest.digest)
        #expect(await starter.state == .warmingUp)
        #expect(await starter.progress()?.stage == .warmingUp)
        await #expect(throws: StartError.busy) { try await starter.start() }
        await #expect(throws: StartError.busy) { try await starter.unload() }
        await script.open("denoise")
        _ = try await task.value
        #expect(marker.unfinishedAttempt() == nil)
        #expect(await starter.progress() == nil)
    }

    @Test func aModelThatEndedTheProcessStartsOnOtherUnitsFromThenOn() async throws {
        let attempt = CrashMarker.Attempt(model: folder.manifest.digest, computeUnits: .all)
        try marker.write(attempt)
        let first = starter()
        _ = try await first.start()
        #expect(await script.events.contains("load cpuAndGPU"))
        #expect(await first.explanation?.contains("cpuAndGPU") == true)
        // The marker is gone, and the choice stays.
        let second = starter()
        _ = try await second.start()
        #expect(await script.count("load cpuAndGPU") == 2)
        #expect(await second.explanation?.isEmpty == false)
        try await second.forgetCrashes()
        _ = try await starter().start()
        #expect(await script.count("load all") == 1)
    }

    @Test func aModelThatDidNotSurviveTheCPUIsNotStarted() async throws {
        try marker.write(.init(model: folder.manifest.digest, computeUnits: .cpuOnly))
        let starter = starter()
        await #expect { try await starter.start() } throws: { ($0 as? ModelFailure)?.kind == .crashed }
        #expect(await script.events == [])
    }

    @Test(arguments: [
        ("compile", ModelFailure.Kind.compilation), ("load all", .loading), ("denoise", .inference),
    ])
    func aFailureSaysWhereItHappenedAndCanBeTriedAgain(event: String, kind: ModelFailure.Kind) async throws {
        let starter = starter()
        await script.fail(event, Broken(what: "It broke."))
        await #expect(throws: ModelFailure(kind, "It broke.")) { try await starter.start() }
        #expect(await starter.state == .failed(ModelFailure(kind, "It broke.")))
        // What is reported did not end the process.
        #expect(marker.unfinishedAttempt() == nil)
        _ = try await starter.start()
        #expect(await starter.state == .ready)
    }

    @Test func refusedAndDamagedModelsAreNotCompiled() async throws {
        let refusal = ModelFailure(.unsupported, "For macOS alone.")
        await #expect(throws: refusal) { try await self.starter(refusal: refusal).start() }
        let file = try #require(folder.manifest[.denoiser]?.files.first)
        try model.write("short", to: file.path)
        let starter = starter()
        await #expect { try await starter.start() } throws: { error in
            let failure = error as? ModelFailure
            return failure?.kind == .damaged && failure?.problem.contains(file.path) == true
        }
        #expect(await script.events == [])
    }

    @Test func numbersThatAreNoneAreNoSuccess() async throws {
        let count = folder.manifest.latents.shape.reduce(1, *)
        var latents = [Float](repeating: 0, count: count)
        latents[count / 2] = .nan
        await #expect { try await starter(latents: latents).start() } throws: {
            ($0 as? ModelFailure)?.kind == .inference
        }
        await #expect { try await starter(latents: [0]).start() } throws: {
            ($0 as? ModelFailure)?.problem.contains("1 latents instead of \(count)") == true
        }
    }

    @Test(arguments: way)
    func aCancelledStartLeavesNothingBehind(event: String) async throws {
        let starter = starter()
        await script.close(event)
        let task = Task { try await starter.start() }
        await script.began(event)
        task.cancel()
        await script.open(event)
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(await starter.state == .absent)
        #expect(marker.unfinishedAttempt() == nil)
        _ = try await starter.start()
        #expect(await starter.state == .ready)
    }

    @Test func memoryThatWasTakenIsLoadedAgainAndNothingIsCompiled() async throws {
        let starter = starter()
        await starter.suspend(.memory)
        #expect(await starter.state == .absent)
        _ = try await starter.start()
        await starter.suspend(.interrupted)
        _ = try await starter.resume()
        #expect(await script.count("load all") == 1)
        await starter.suspend(.memory)
        #expect(await starter.state == .suspended(.memory))
        await #expect(throws: StartError.suspended) { try await starter.start() }
        _ = try await starter.resume()
        #expect(await starter.state == .ready)
        #expect(await script.count("load all") == 2)
        #expect(await script.count("decode") == 2)
        #expect(await script.count("compile") == 5)
        try await starter.unload()
        #expect(await starter.state == .absent)
    }

    @Test func aStarterThatIsLetGoFreesItsModel() async throws {
        weak var watched: ModelStarter<StandInRuntime>?
        var kept: StandInBackend?
        do {
            let starter = starter()
            watched = starter
            kept = try await starter.start()
        }
        // Tasks that noted progress may hold it for a moment.
        for _ in 0..<1000 where watched != nil { await Task.yield() }
        #expect(watched == nil)
        // A model that has to be loaded again still finds its packages.
        let again = try await kept?.model.compiled(.denoiser)
        #expect(again.map { FileManager.default.fileExists(atPath: $0.url.path) } == true)
        #expect(await script.count("compile") == 5)
    }

    @Test func statesAndVerificationAreReported() async throws {
        let starter = starter(choice: ComputeUnitChoice(.cpuOnly))
        var states = starter.states.makeAsyncIterator()
        _ = try await starter.start()
        #expect(await states.next() == .ready)
        #expect(await script.events.contains("load cpuOnly"))
        let total = folder.manifest.allBytes
        for _ in 0..<1000 where await starter.verification?.done != total { await Task.yield() }
        #expect(await starter.verification?.done == total)
        for error in [StartError.busy, .suspended, .notSuspended] {
            #expect(error.errorDescription?.isEmpty == false)
            #expect(error.recoverySuggestion?.isEmpty == false)
        }
        await #expect(throws: StartError.notSuspended) { try await self.starter().resume() }
    }
}

extension ModelManifest {
    /// Bytes of all files that the manifest lists.
    fileprivate var allBytes: Int {
        (components.flatMap(\.files) + tokenizer.files).map(\.bytes).reduce(0, +)
    }
}
