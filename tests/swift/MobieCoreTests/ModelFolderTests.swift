import Foundation
import Testing

@testable import MobieCore

struct ModelFolderTests {
    private let folder: TemporaryFolder
    private let corpus: ManifestCorpusTests.Corpus

    init() throws {
        folder = try TemporaryFolder()
        corpus = try Vectors.decode("manifests.json")
    }

    /// Writes a folder whose manifest says what its files are.
    private func writeWhole() throws {
        var text = try #require(corpus.bases["embedded"])
        let manifest = try ModelManifest(parsing: Array(text.utf8))
        for component in manifest.components {
            var listing = ""
            for record in component.files {
                let content = "content of \(record.path)"
                try folder.write(content, to: record.path)
                let digest = SHA256.hex(of: content.utf8)
                listing += "\(digest)  \(record.path.dropFirst(component.file.count + 1))\n"
                text = replaced(text, record, content)
            }
            text = text.replacingOccurrences(of: component.sha256, with: SHA256.hex(of: listing.utf8))
        }
        for record in manifest.tokenizer.files {
            try folder.write("content of \(record.path)", to: record.path)
            text = replaced(text, record, "content of \(record.path)")
        }
        try folder.write(text, to: "mobie.json")
    }

    private func replaced(_ text: String, _ record: FileRecord, _ content: String) -> String {
        text.replacingOccurrences(
            of: "\"sha256\":\"\(record.sha256)\",\"bytes\":\(record.bytes)",
            with: "\"sha256\":\"\(SHA256.hex(of: content.utf8))\",\"bytes\":\(content.utf8.count)")
    }

    @Test func aWholeFolderHasNoProblems() throws {
        try writeWhole()
        let model = try ModelFolder.open(folder.url)
        var last = ModelFolder.Progress(done: 0, total: 1)
        #expect(try model.verify { last = $0 } == [])
        #expect(last.done == last.total)
        #expect(model.location(of: .denoiser)?.lastPathComponent == "Denoiser.mlpackage")
        try folder.write("", to: "Denoiser.mlpackage/.DS_Store")
        #expect(try model.verify() == [])
    }

    @Test func everyKindOfDamageIsFound() throws {
        try writeWhole()
        let model = try ModelFolder.open(folder.url)
        let files = FileManager.default
        let changed = model.manifest.components[0].files[0].path
        let original = try String(contentsOf: folder.url.appendingPathComponent(changed), encoding: .utf8)
        try folder.write(original.uppercased(), to: changed)
        let missing = model.manifest.components[1].files[0].path
        try files.removeItem(at: folder.url.appendingPathComponent(missing))
        let shorter = model.manifest.components[2].files[0].path
        try folder.write("x", to: shorter)
        let linked = model.manifest.components[3].files[0].path
        let target = folder.url.appendingPathComponent("elsewhere")
        try files.moveItem(at: folder.url.appendingPathComponent(linked), to: target)
        try files.createSymbolicLink(at: folder.url.appendingPathComponent(linked), withDestinationURL: target)
        let problems = try model.verify()
        #expect(
            problems == [
                .init(path: changed, what: "its content was changed (SHA-256 differs)"),
                .init(path: missing, what: "missing"),
                .init(path: shorter, what: "1 bytes instead of \("content of \(shorter)".utf8.count)"),
                .init(path: linked, what: "a link; a model folder holds plain files"),
                .init(path: "elsewhere", what: "not in the manifest"),
            ])
    }

    @Test func aComponentsDigestIsThatOfItsFiles() throws {
        try writeWhole()
        let file = folder.url.appendingPathComponent("mobie.json")
        let text = try String(contentsOf: file, encoding: .utf8)
        let digest = try ModelFolder.open(folder.url).manifest.components[4].sha256
        try folder.write(
            text.replacingOccurrences(of: digest, with: String(repeating: "0", count: 64)), to: "mobie.json")
        let problems = try ModelFolder.open(folder.url).verify()
        #expect(problems.map(\.path) == ["components.Decoder.sha256"])
    }

    @Test func aFolderWithoutAManifestIsRefused() throws {
        #expect { try ModelFolder.open(folder.url) } throws: { ($0 as? ManifestError)?.reason == .missing }
        try folder.write(String(repeating: " ", count: ModelManifest.maximumBytes + 1), to: "mobie.json")
        #expect { try ModelFolder.open(folder.url) } throws: { ($0 as? ManifestError)?.reason == .tooLarge }
        try folder.write("{", to: "mobie.json")
        #expect { try ModelFolder.open(folder.url) } throws: { ($0 as? ManifestError)?.reason == .notJSON }
        let other = try TemporaryFolder()
        try other.write("", to: "mobie.json/not a file")
        #expect { try ModelFolder.open(other.url) } throws: { ($0 as? ManifestError)?.reason == .unreadable }
    }

    @Test func aCancelledVerificationEnds() async throws {
        try writeWhole()
        let model = try ModelFolder.open(folder.url)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try model.verify()
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
