import Testing

@testable import MobieCoreML

struct ReloadingResourceTests {
    private let script = Script()

    private func resource() -> ReloadingResource<String> {
        ReloadingResource { [script] in
            try await script.happen("load")
            return "loaded \(await script.count("load"))"
        }
    }

    private func use(_ resource: ReloadingResource<String>) async throws -> String {
        try await resource.use { [script] value in
            try await script.happen("use")
            return value
        }
    }

    @Test func aFailedUseIsTriedAgainOnceAfterLoading() async throws {
        let resource = resource()
        #expect(try await use(resource) == "loaded 1")
        await script.fail("use", Broken(what: "first"))
        #expect(try await use(resource) == "loaded 2")
        #expect(try await use(resource) == "loaded 2")
        #expect(await resource.reloads == 1)
    }

    @Test func whatFailsAfterLoadingIsReportedAndNotLoadedForAgain() async throws {
        let resource = resource()
        await script.fail("use", Broken(what: "1"), Broken(what: "2"), Broken(what: "3"))
        await #expect(throws: Broken(what: "2")) { try await use(resource) }
        await #expect(throws: Broken(what: "3")) { try await use(resource) }
        #expect(await script.count("load") == 2)
        // A use that succeeds gives it another chance.
        #expect(try await use(resource) == "loaded 2")
        await script.fail("use", Broken(what: "4"))
        #expect(try await use(resource) == "loaded 3")
    }

    @Test func usesThatFailTogetherLoadOnce() async throws {
        let resource = resource()
        try await resource.prepare()
        await script.close("use")
        await script.fail("use", Broken(what: "a"), Broken(what: "b"), Broken(what: "c"))
        let tasks = (0..<3).map { _ in Task { try await use(resource) } }
        while await script.count("use") < 3 { await Task.yield() }
        await script.open("use")
        for task in tasks { #expect(try await task.value == "loaded 2") }
        #expect(await script.count("load") == 2)
    }

    @Test func aLoadThatFailsIsReportedAndTriedAgain() async throws {
        let resource = resource()
        await script.fail("load", Broken(what: "disk"))
        await #expect(throws: Broken(what: "disk")) { try await use(resource) }
        #expect(try await use(resource) == "loaded 2")
        await script.fail("use", Broken(what: "gone"))
        await script.fail("load", Broken(what: "disk"))
        await #expect(throws: Broken(what: "disk")) { try await use(resource) }
        #expect(try await use(resource) == "loaded 4")
    }

    @Test func errorsThatLoadingDoesNotHelpAgainstAreReportedAtOnce() async throws {
        let resource = ReloadingResource { [script] in
            try await script.happen("load")
            return "loaded"
        } helps: { error in
            (error as? Broken)?.what != "input"
        }
        await script.fail("use", Broken(what: "input"))
        await #expect(throws: Broken(what: "input")) { try await use(resource) }
        #expect(await script.count("load") == 1)
        await script.fail("use", Broken(what: "model"))
        #expect(try await use(resource) == "loaded")
        #expect(await script.count("load") == 2)
    }

    @Test func cancellationIsNoReasonToLoad() async throws {
        let resource = resource()
        await script.fail("use", CancellationError())
        await #expect(throws: CancellationError.self) { try await use(resource) }
        await script.close("use")
        await script.fail("use", Broken(what: "late"))
        let task = Task { try await use(resource) }
        while await script.count("use") < 2 { await Task.yield() }
        task.cancel()
        await script.open("use")
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(await script.count("load") == 1)
    }
}
