import Foundation
import MobieCore
import Testing

/// The samples of docs/swift.md and of the articles, with what a user of the package can see alone.
struct DocumentedExampleTests {
    @Test func aSessionFromFolderToEditedFrames() async throws {
        let model = try modelFolder()
        let (frames, source) = AsyncStream.makeStream(of: StandInBackend.Frame.self)
        for number in 0..<3 { source.yield(frame(number)) }
        source.finish()
        var shown: [Int] = []
        try await edit(frames, model: model.url, backend: StandInBackend()) { shown.append($0.number) }
        #expect(shown == [0, 1, 2])
    }

    private func edit<Backend: EditBackend>(
        _ clip: AsyncStream<Backend.Frame>, model: URL, backend: Backend, show: (Backend.Frame) -> Void
    ) async throws {
        // docs/swift.md from here
        var options = EditPipeline<Backend>.Options()
        options.keepsEveryFrame = true
        let session = try EditSession(model: model, backend: backend, options: options)
        try await session.change(to: "make it snow")
        let feeding = Task { try await session.feed(clip) }  // Any AsyncSequence of the backend's frames.
        for await edited in session.frames { show(edited.frame) }
        try await feeding.value
        // to here
    }

    @Test func framesAndFailuresOfAPipeline() async throws {
        let model = try modelFolder()
        var shown: [Int] = []
        try await edit([frame(0)], model: model.url, backend: StandInBackend()) { shown.append($0.number) }
        #expect(shown == [0])
    }

    private func edit<Backend: EditBackend>(
        _ frames: [Backend.Frame], model url: URL, backend: Backend, show: (Backend.Frame) -> Void
    ) async throws {
        func report(_ failure: FrameFailure) throws { throw failure }
        // docs/swift.md from here
        let folder = try ModelFolder.open(url)
        let tokenizer = try CLIPTokenizer(modelFolder: url, positions: folder.manifest.tokenizer.positions)
        let pipeline = try EditPipeline(manifest: folder.manifest, tokenizer: tokenizer, backend: backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        for (number, frame) in frames.enumerated() { await pipeline.submit(frame, number: number) }
        await pipeline.finish()
        for await outcome in pipeline.outcomes {
            switch outcome {
            case .edited(let edited): show(edited.frame)
            case .failed(let failure): try report(failure)
            }
        }
        // to here
    }

    @Test func changesAndPausesOfASession() async throws {
        let model = try modelFolder()
        let session = try await adaptive(model.url, StandInBackend())
        try await change(session)
        #expect(await session.instruction?.prompt == "in Monet style")
        await giveMemory(session)
        #expect(await session.pauses == [])
        await session.stop()
    }

    private func change(_ session: EditSession<StandInBackend>) async throws {
        // ThreadingAndMemory.md from here
        switch try await session.change(to: "in Monet style") {
        case .applied: break  // Frames whose Denoiser starts from now on have it.
        case .superseded: break  // A newer change came while this one waited; it never ran.
        }
        // to here
    }

    private func giveMemory(_ session: EditSession<StandInBackend>) async {
        // ThreadingAndMemory.md from here
        await session.pause(.memory)
        // ... until the system has what it asked for.
        await session.resume(.memory)
        // to here
    }

    private func adaptive<Backend: EditBackend>(
        _ url: URL, _ backend: Backend
    ) async throws -> EditSession<Backend> {
        // AdaptingToHeat.md from here
        let controller = QualityController(levels: [
            QualityLevel(frameRateCap: nil, similarityThreshold: nil, variant: "512x384", latencyBudget: 0.1),
            QualityLevel(frameRateCap: 15, similarityThreshold: 3, variant: "512x384", latencyBudget: 0.2),
            QualityLevel(frameRateCap: 10, similarityThreshold: 6, variant: "256x192", latencyBudget: 0.2),
        ])
        let session = try EditSession(model: url, backend: backend, quality: controller)
        // to here
        let level = await session.observe(QualitySample(time: 0, thermal: .critical))
        #expect(level?.variant == "256x192")
        return session
    }

    @Test func aLogOfSamplesIsReplayed() throws {
        let level = QualityLevel(frameRateCap: nil, similarityThreshold: nil, variant: "a", latencyBudget: 1)
        let controller = try #require(QualityController(levels: [level, level, level]))
        let samples = [QualitySample(time: 0), QualitySample(time: 1, thermal: .serious), QualitySample(time: 2)]
        // AdaptingToHeat.md from here
        let states = controller.replay(samples)
        let reasons = states.filter { $0.reason != .unchanged }.map { "\($0.level): \($0.reason.rawValue)" }
        // to here
        #expect(reasons == ["1: heat"])
    }

    private func frame(_ number: Int) -> StandInBackend.Frame {
        StandInBackend.Frame(number: number, values: [Float](repeating: 1, count: 8 * 24 * 32))
    }

    private func modelFolder() throws -> TemporaryFolder {
        let model = try TemporaryFolder()
        let corpus: ManifestCorpusTests.Corpus = try Vectors.decode("manifests.json")
        try model.write(try #require(corpus.bases["embedded"]), to: "mobie.json")
        try Models.writeTokenizer(to: model)
        return model
    }
}
