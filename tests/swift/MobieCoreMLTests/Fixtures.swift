import Foundation
import MobieCore
import Testing

@testable import MobieCoreML

/// An empty folder that goes away with the value.
final class ScratchFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    @discardableResult
    func write(_ text: String, to path: String) throws -> URL {
        let file = url.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
        return file
    }

    func names(in path: String = "") -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: url.appendingPathComponent(path).path)) ?? []).sorted()
    }
}

/// Manifests and whole model folders without real packages.
enum Fixtures {
    private struct Corpus: Decodable {
        let bases: [String: String]
    }

    /// The text of a good manifest: "embedded" and others.
    static func manifestText(_ base: String = "embedded") throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let corpus = try JSONDecoder().decode(
            Corpus.self, from: Data(contentsOf: root.appendingPathComponent("vectors/manifests.json")))
        return try #require(corpus.bases[base])
    }

    /// A good manifest with texts replaced.
    static func manifest(_ base: String = "embedded", _ changes: [(String, String)] = []) throws -> ModelManifest {
        var text = try manifestText(base)
        for (old, new) in changes {
            try #require(text.contains(old), "\(old) is not in the manifest")
            text = text.replacingOccurrences(of: old, with: new)
        }
        return try ModelManifest(parsing: [UInt8](text.utf8))
    }

    /// A folder whose manifest says what its files are.
    static func modelFolder(in folder: ScratchFolder) throws -> ModelFolder {
        var text = try manifestText()
        let manifest = try ModelManifest(parsing: [UInt8](text.utf8))
        func place(_ record: FileRecord) throws -> String {
            let content = "content of \(record.path)"
            let digest = SHA256.hex(of: content.utf8)
            try folder.write(content, to: record.path)
            text = text.replacingOccurrences(
                of: "\"sha256\":\"\(record.sha256)\",\"bytes\":\(record.bytes)",
                with: "\"sha256\":\"\(digest)\",\"bytes\":\(content.utf8.count)")
            return digest
        }
        for component in manifest.components {
            let listing = try component.files.map {
                "\(try place($0))  \($0.path.dropFirst(component.file.count + 1))\n"
            }
            text = text.replacingOccurrences(of: component.sha256, with: SHA256.hex(of: listing.joined().utf8))
        }
        for record in manifest.tokenizer.files { _ = try place(record) }
        try folder.write(text, to: ModelManifest.fileName)
        return try ModelFolder.open(folder.url)
    }
}

/// Counts what happens, and waits and fails where it is told to.
actor Script {
    private(set) var events: [String] = []
    private var failures: [String: [any Error]] = [:]
    private var gates: Set<String> = []
    private var waiting: [String: [CheckedContinuation<Void, Never>]] = [:]
    private var watchers: [(event: String, continuation: CheckedContinuation<Void, Never>)] = []

    /// The next times that something happens it fails, once for each error.
    func fail(_ event: String, _ errors: any Error...) {
        failures[event, default: []] += errors
    }

    /// What happens waits until `open`.
    func close(_ event: String) {
        gates.insert(event)
    }

    func open(_ event: String) {
        gates.remove(event)
        for one in waiting.removeValue(forKey: event) ?? [] { one.resume() }
    }

    func count(_ event: String) -> Int {
        events.filter { $0 == event }.count
    }

    /// Returns when something has begun.
    func began(_ event: String) async {
        if events.contains(event) { return }
        await withCheckedContinuation { watchers.append((event, $0)) }
    }

    func happen(_ event: String) async throws {
        events.append(event)
        for watcher in watchers where watcher.event == event { watcher.continuation.resume() }
        watchers.removeAll { $0.event == event }
        if gates.contains(event) {
            await withCheckedContinuation { waiting[event, default: []].append($0) }
        }
        if var left = failures[event], !left.isEmpty {
            let error = left.removeFirst()
            failures[event] = left
            throw error
        }
    }
}

/// What a stand-in throws.
struct Broken: LocalizedError, Equatable {
    let what: String
    var errorDescription: String? { what }
}

/// A backend whose numbers are what the script says.
struct StandInBackend: EditBackend {
    let model: LoadableModel
    let script: Script
    var latentsGiven: [Float]?

    func textStates(ids: [Int32]) async throws -> [Float] {
        try await script.happen("textStates \(ids.count)")
        return [1]
    }

    func condition(_ states: [Float], timestep: Int, guidance: GuidanceScales?) async throws -> [String: [Float]] {
        try await script.happen("condition \(guidance != nil)")
        return ["shifts": [1]]
    }

    func encode(_ frame: FrameSize) async throws -> [Float] {
        try await script.happen("encode \(frame.width)x\(frame.height)")
        return [1]
    }

    func denoise(imageLatents: [Float]?, latents: [Float], conditioning: [String: [Float]]) async throws -> [Float] {
        try await script.happen("denoise")
        return latentsGiven ?? latents
    }

    func decode(_ latents: [Float]) async throws -> FrameSize {
        try await script.happen("decode")
        return model.manifest.frame
    }

    func latents(_ values: [Float]) async throws -> [Float] { values }
    func values(of latents: [Float]) async throws -> [Float] { latents }
}

/// A runtime that compiles by writing a file.
struct StandInRuntime: ModelRuntime {
    let script: Script
    let scratch: ScratchFolder
    var latentsGiven: [Float]?

    func compile(_ package: URL) async throws -> URL {
        try await script.happen("compile")
        let name = UUID().uuidString
        try scratch.write("compiled \(package.lastPathComponent)", to: "\(name)/weights.bin")
        return scratch.url.appendingPathComponent(name)
    }

    func load(_ model: LoadableModel) async throws -> StandInBackend {
        try await script.happen("load \(model.computeUnits[.denoiser]?.rawValue ?? "")")
        for component in model.manifest.components {
            let compiled = try await model.compiled(component.name)
            #expect(FileManager.default.fileExists(atPath: compiled.url.path))
        }
        return StandInBackend(model: model, script: script, latentsGiven: latentsGiven)
    }

    func blankFrame(of size: FrameSize) throws -> FrameSize { size }
}
