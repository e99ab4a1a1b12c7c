import Testing

@testable import MobieCore

/// A whole clip through a pipeline: every frame, in order, with its place, and one end whatever happens.
struct ClipTests {
    private typealias Pipeline = EditPipeline<StandInBackend>

    private struct Unreadable: Error {}

    /// Frames of a clip, and what comes after the last one.
    private actor Clip {
        private let frames: Int
        private let end: (any Error)?
        private var next = 0

        init(frames: Int, end: (any Error)? = nil) {
            (self.frames, self.end) = (frames, end)
        }

        func read() throws -> (frame: StandInBackend.Frame, place: String)? {
            guard next < frames else {
                if let end { throw end }
                return nil
            }
            next += 1
            return (StandInBackend.Frame(number: next, values: [1, 2, 3, 4]), "\(next)")
        }
    }

    private func pipeline(_ backend: StandInBackend = StandInBackend(), prompt: String? = "make it snow") async throws
        -> Pipeline
    {
        let manifest = try Models.manifest("embedded").replacing(
            latents: [1, 4, 1, 1], steps: [ScheduleStep(timestep: 999, estimate: 1, latents: 0, noise: 0)],
            guidance: try Models.manifest("embedded").method.guidance)
        var options = Pipeline.Options()
        options.keepsEveryFrame = true
        let pipeline = try Pipeline(
            manifest: manifest, tokenizer: try Models.tokenizer(), backend: backend, options: options)
        if let prompt { try await pipeline.change(EditInstruction(prompt: prompt)) }
        return pipeline
    }

    /// Edits a clip, and gives what came out of it.
    private func edit(_ clip: Clip, _ pipeline: Pipeline, into written: inout [(Int, String)]) async throws {
        try await pipeline.editClip {
            try await clip.read()
        } write: { frame, place in
            // A writer slower than the model now and then.
            if frame.number % 7 == 0 { for _ in 0..<50 { await Task.yield() } }
            written.append((frame.number, place))
        }
    }

    @Test(arguments: [0, 1, 60]) func everyFrameComesOutInOrderWithItsPlace(frames: Int) async throws {
        let pipeline = try await pipeline()
        var written: [(Int, String)] = []
        try await edit(Clip(frames: frames), pipeline, into: &written)
        #expect(written.map(\.0) == Array(1..<frames + 1))
        #expect(written.map(\.1) == written.map { "\($0.0)" })
        #expect(await pipeline.statistics.delivered == frames)
        #expect(await pipeline.statistics.drops.isEmpty)
        await #expect(throws: EditError.stopped) { try await edit(Clip(frames: 1), pipeline, into: &written) }
    }

    @Test func aFrameThatFailsEndsTheClip() async throws {
        let backend = StandInBackend { component, mark in
            if component == .denoiser, mark == 5 { throw StandInBackend.Broken(component: component) }
        }
        var written: [(Int, String)] = []
        let error = await #expect(throws: FrameFailure.self) {
            try await edit(Clip(frames: 60), try await pipeline(backend), into: &written)
        }
        #expect(error?.stage == .denoiser)
        #expect(error?.cause as? StandInBackend.Broken == StandInBackend.Broken(component: .denoiser))
        #expect(written.map(\.0) == [1, 2, 3, 4])
    }

    @Test func whatReadingAndWritingThrowIsThrown() async throws {
        var written: [(Int, String)] = []
        await #expect(throws: Unreadable.self) {
            try await edit(Clip(frames: 9, end: Unreadable()), try await self.pipeline(), into: &written)
        }
        let pipeline = try await pipeline()
        await #expect(throws: Unreadable.self) {
            let clip = Clip(frames: 60)
            try await pipeline.editClip {
                try await clip.read()
            } write: { _, _ in
                throw Unreadable()
            }
        }
        #expect(await pipeline.runningStages == 0)
        await #expect(throws: EditError.noInstruction) {
            try await edit(Clip(frames: 1), try await self.pipeline(prompt: nil), into: &written)
        }
    }

    @Test func aCancelledEditEnds() async throws {
        let latch = Latch()
        let backend = StandInBackend { component, mark in
            if component == .decoder, mark == 3 { await latch.wait() }
        }
        let pipeline = try await pipeline(backend)
        let clip = Clip(frames: 60)
        let task = Task {
            try await pipeline.editClip {
                try await clip.read()
            } write: { _, _ in
            }
        }
        await latch.arrived()
        task.cancel()
        await latch.open()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(await pipeline.statistics.delivered < 60)
    }
}
