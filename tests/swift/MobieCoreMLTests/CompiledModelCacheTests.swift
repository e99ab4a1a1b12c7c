import Foundation
import MobieCore
import Testing

@testable import MobieCoreML

struct CompiledModelCacheTests {
    private static let system = SystemIdentity(system: "17.4 (21E219)", device: "iPhone16,1")
    private let folder: ScratchFolder
    private let script = Script()

    init() throws {
        folder = try ScratchFolder()
    }

    private func key(_ package: String, _ system: SystemIdentity = Self.system) -> CompiledModelKey {
        CompiledModelKey(package: package, system: system)
    }

    private func cache(limit: Int = 1 << 20) -> CompiledModelCache {
        CompiledModelCache(folder: folder.url, limit: limit)
    }

    /// Makes what lies there so many seconds old.
    private func age(_ item: URL, by seconds: Double) throws {
        let date = Date(timeIntervalSinceNow: -seconds)
        try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: item.path)
    }

    /// Makes the last use of a model so many seconds old.
    private func age(_ model: CompiledModel, by seconds: Double) throws {
        try age(model.url.deletingLastPathComponent().appendingPathComponent("record.json"), by: seconds)
    }

    /// Compiles to a folder with one file of so many bytes.
    private func compile(_ bytes: Int = 10, _ event: String = "compile") -> @Sendable () async throws -> URL {
        { [script, folder] in
            try await script.happen(event)
            let name = "made-\(UUID().uuidString)"
            try folder.write(String(repeating: "x", count: bytes), to: "\(name)/weights.bin")
            return folder.url.appendingPathComponent(name)
        }
    }

    @Test func aPackageIsCompiledOnce() async throws {
        let first = try await cache().model(for: key("a"), compile: compile())
        let again = cache()
        #expect(await again.contains(key("a")))
        let second = try await again.model(for: key("a"), compile: compile())
        #expect(first.url == second.url)
        #expect(first.url.lastPathComponent == "model.mlmodelc")
        #expect(await script.count("compile") == 1)
        #expect(try String(contentsOf: first.url.appendingPathComponent("weights.bin"), encoding: .utf8).count == 10)
        // What was compiled was moved, not copied.
        #expect(folder.names().filter { $0.hasPrefix("made-") } == [])
    }

    @Test func packagesSystemsAndDevicesHaveEntriesOfTheirOwn() async throws {
        let cache = cache()
        let others = [
            key("a"), key("b"), key("a", SystemIdentity(system: "18.0 (22A1)", device: Self.system.device)),
            key("a", SystemIdentity(system: Self.system.system, device: "iPhone15,2")),
        ]
        var held: [CompiledModel] = []
        for other in others { held.append(try await cache.model(for: other, compile: compile())) }
        #expect(Set(held.map(\.url)).count == others.count)
        #expect(await script.count("compile") == others.count)
    }

    @Test func callersOfOneKeyShareItsCompilation() async throws {
        let cache = cache()
        await script.close("compile")
        let tasks = (0..<8).map { _ in Task { try await cache.model(for: key("a"), compile: compile()).url } }
        await script.began("compile")
        await script.open("compile")
        var urls: Set<URL> = []
        for task in tasks { urls.insert(try await task.value) }
        #expect(urls.count == 1)
        #expect(await script.count("compile") == 1)
    }

    @Test func aCancelledCallerLeavesAndTheResultStays() async throws {
        let cache = cache()
        await script.close("compile")
        let task = Task { try await cache.model(for: key("a"), compile: compile()).url }
        await script.began("compile")
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await script.open("compile")
        _ = try await cache.model(for: key("a"), compile: compile())
        #expect(await script.count("compile") == 1)
    }

    @Test func aFailedCompilationLeavesNothing() async throws {
        let cache = cache()
        await script.fail("compile", Broken(what: "no memory"))
        await #expect(throws: Broken(what: "no memory")) {
            try await cache.model(for: key("a"), compile: compile())
        }
        #expect(await !cache.contains(key("a")))
        #expect(folder.names() == [])
        _ = try await cache.model(for: key("a"), compile: compile())
        #expect(await script.count("compile") == 2)
    }

    @Test func aCompilationToNothingIsRefused() async throws {
        let cache = cache()
        let made = folder.url.appendingPathComponent("empty")
        await #expect {
            try await cache.model(for: key("a")) {
                try FileManager.default.createDirectory(at: made, withIntermediateDirectories: true)
                return made
            }
        } throws: { ($0 as? ModelFailure)?.kind == .compilation }
        #expect(folder.names(in: "v1") == [])
    }

    @Test(arguments: ["shorter", "missing", "record"])
    func aDamagedEntryIsCompiledAgain(_ damage: String) async throws {
        let url = try await cache().model(for: key("a"), compile: compile()).url
        let file = url.appendingPathComponent("weights.bin")
        switch damage {
        case "shorter": try Data("xx".utf8).write(to: file)
        case "missing": try FileManager.default.removeItem(at: file)
        default: try Data("{".utf8).write(to: url.deletingLastPathComponent().appendingPathComponent("record.json"))
        }
        let again = cache()
        #expect(await !again.contains(key("a")))
        let model = try await again.model(for: key("a"), compile: compile())
        #expect(model.url == url)
        #expect(try Data(contentsOf: file).count == 10)
        #expect(await script.count("compile") == 2)
        #expect(folder.names(in: "v1").count == 1)
    }

    @Test func theLongestUnusedGoFirstAndThoseInUseStay() async throws {
        let cache = cache(limit: 25)
        var held: [String: CompiledModel] = [:]
        for (name, seconds) in [("a", 30.0), ("b", 20)] {
            let model = try await cache.model(for: key(name), compile: compile())
            try age(model, by: seconds)
            held[name] = model
        }
        held["a"] = nil
        // A model that is let go tells the cache in a task of its own.
        while await cache.isInUse(key("a")) { await Task.yield() }
        let third = try await cache.model(for: key("c"), compile: compile())
        try age(third, by: 10)
        held["c"] = third
        await cache.trim(for: Self.system)
        #expect(await cache.entries().map(\.key.package) == ["b", "c"])
        // In use now: nothing can go, although there is too much.
        held["d"] = try await cache.model(for: key("d"), compile: compile())
        #expect(await cache.entries().map(\.key.package) == ["b", "c", "d"])
        #expect(await script.count("compile") == 4)
        #expect(held.count == 3)
    }

    @Test func theNewestStaysEvenWhereItIsTooLarge() async throws {
        let cache = cache(limit: 5)
        for (name, seconds) in [("a", 20.0), ("b", 10)] {
            try age(try await cache.model(for: key(name), compile: compile()), by: seconds)
            while await cache.isInUse(key(name)) { await Task.yield() }
        }
        await cache.trim(for: Self.system)
        #expect(await cache.entries().map(\.key.package) == ["b"])
    }

    @Test func anotherBuildOfTheSystemMakesOldEntriesUseless() async throws {
        for name in ["a", "b"] { _ = try await cache().model(for: key(name), compile: compile()) }
        let newer = SystemIdentity(system: "17.5 (21F79)", device: Self.system.device)
        let cache = cache()
        let model = try await cache.model(for: key("a", newer), compile: compile())
        await cache.trim(for: newer)
        #expect(await cache.entries().map(\.key) == [key("a", newer)])
        #expect(FileManager.default.fileExists(atPath: model.url.path))
    }

    @Test func whatAnEarlierProcessLeftIsRemoved() async throws {
        try folder.write("x", to: "v1/.trash-1/model.mlmodelc/weights.bin")
        try folder.write("x", to: "v1/.staging-1/model.mlmodelc/weights.bin")
        let cache = cache()
        await cache.trim(for: Self.system)
        // It may still be at work.
        #expect(folder.names(in: "v1") == [".staging-1"])
        try age(folder.url.appendingPathComponent("v1/.staging-1"), by: 100_000)
        await cache.trim(for: Self.system)
        #expect(folder.names(in: "v1") == [])
    }
}
