import Foundation
import MobieCore
import Testing

/// The session of docs/swift.md, with what a user of the package can see alone.
struct DocumentedExampleTests {
    @Test func aSessionFromFolderToEditedFrames() async throws {
        let model = try TemporaryFolder()
        let corpus: ManifestCorpusTests.Corpus = try Vectors.decode("manifests.json")
        try model.write(try #require(corpus.bases["embedded"]), to: "mobie.json")
        try Models.writeTokenizer(to: model)
        let values = [Float](repeating: 1, count: 8 * 24 * 32)
        let edited = try await edit(
            (0..<3).map { StandInBackend.Frame(number: $0, values: values) }, model: model.url,
            backend: StandInBackend())
        #expect(edited.map(\.number) == [0, 1, 2])
    }

    private func edit<Backend: EditBackend>(
        _ frames: [Backend.Frame], model url: URL, backend: Backend
    ) async throws -> [Backend.Frame] {
        let folder = try ModelFolder.open(url)
        let tokenizer = try CLIPTokenizer(modelFolder: url, positions: folder.manifest.tokenizer.positions)
        let pipeline = try EditPipeline(manifest: folder.manifest, tokenizer: tokenizer, backend: backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        var edited: [Backend.Frame] = []
        var outcomes = pipeline.outcomes.makeAsyncIterator()
        for (number, frame) in frames.enumerated() {
            await pipeline.submit(frame, number: number)
            switch await outcomes.next() {
            case .edited(let result)?: edited.append(result.frame)
            case .failed(let failure)?: throw failure
            case nil: return edited
            }
        }
        return edited
    }
}
