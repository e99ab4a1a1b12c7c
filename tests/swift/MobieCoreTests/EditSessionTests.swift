import Testing

@testable import MobieCore

@Suite(.timeLimit(.minutes(20)))
struct EditSessionTests {
    private typealias Session = EditSession<StandInBackend>

    private func session(
        _ backend: StandInBackend = StandInBackend(), options: EditPipeline<StandInBackend>.Options = .init(),
        quality: QualityController? = nil, now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws -> Session {
        let read = try Models.manifest("embedded")
        let manifest = read.replacing(
            latents: [1, 4, 1, 1], steps: read.schedule.steps, guidance: read.method.guidance)
        let pipeline = try EditPipeline(
            manifest: manifest, tokenizer: try Models.tokenizer(), backend: backend, options: options, now: now)
        return Session(pipeline: pipeline, quality: quality)
    }

    private func frame(_ number: Int) -> StandInBackend.Frame {
        StandInBackend.Frame(number: number, values: [1, 2, 3, Float(number)])
    }

    /// A session with one change held inside the text encoder until the latch opens, and another that waits for it.
    private func heldChanges() async throws -> (
        session: Session, latch: Latch, running: Task<Session.Change, any Error>,
        waiting: Task<Session.Change, any Error>
    ) {
        let latch = Latch()
        let backend = StandInBackend { component, _ in
            if component == .textEncoder { await latch.wait() }
        }
        let session = try session(backend)
        let running = Task { try await session.change(to: "make it snow") }
        await latch.arrived()
        let waiting = Task { try await session.change(to: "make it rain") }
        while await session.changing.awaited < 2 { await Task.yield() }
        return (session, latch, running, waiting)
    }

    @Test func promptsAndScalesHaveAHistory() async throws {
        let session = try session()
        #expect(await session.instruction == nil)
        #expect(try await session.controls.scales == GuidanceScales(text: 7.5, image: 1.5))
        var controls = try await session.controls
        await #expect(throws: EditError.noInstruction) { try await session.change(controls) }
        #expect(try await session.undo() == nil)
        #expect(try await session.change(to: "make it snow") == .applied)
        controls.apply(.strong)
        #expect(try await session.change(controls) == .applied)
        let strong = EditInstruction(prompt: "make it snow", textGuidance: 10.75, imageGuidance: 1.25)
        #expect(await session.instruction == strong)
        #expect(try await session.change(to: "make it rain") == .applied)
        #expect(try await session.controls == controls)
        #expect(await session.history.instructions.map(\.prompt) == ["make it rain", "make it snow"])
        #expect(try await session.undo() == .applied)
        #expect(await session.instruction?.prompt == "make it snow")
        #expect(await session.history.instructions.map(\.prompt) == ["make it snow", "make it rain"])
        // What cannot be leaves everything as it was.
        await #expect(throws: EditError.emptyPrompt) { try await session.change(to: " ") }
        #expect(await session.instruction?.prompt == "make it snow")
        #expect(await session.history.instructions.count == 2)
    }

    /// A slider sends a hundred changes while one is prepared: the newest alone follows it.
    @Test func ofChangesThatWaitTheNewestCounts() async throws {
        let latch = Latch()
        let backend = StandInBackend { component, _ in
            if component == .conditioner { await latch.wait() }
        }
        let session = try session(backend)
        let first = Task { try await session.change(to: "make it snow") }
        await latch.arrived()
        let others = Locked<[EditSession<StandInBackend>.Change]>([])
        let changes = Task {
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let value = 2 + Double(number) / 10
                        let asked = EditInstruction(prompt: "make it snow", textGuidance: value)
                        guard let change = try? await session.change(asked) else { return }
                        others.withLock { $0.append(change) }
                    }
                }
            }
        }
        while others.withLock({ $0.count }) < 99 { await Task.yield() }
        await latch.open()
        await changes.value
        #expect(try await first.value == .applied)
        #expect(others.withLock { $0.filter { $0 == .applied }.count } == 1)
        #expect(await backend.log.mostAtOnce[.conditioner] == 1)
        #expect(await backend.log.calls[.conditioner] == 2)
        #expect(await session.history.instructions.count == 1)
    }

    @Test func framesGoInAndComeOut() async throws {
        let session = try session()
        try await session.change(to: "make it snow")
        var reader = session.frames.makeAsyncIterator()
        for number in 0..<5 {
            await session.submit(frame(number))
            let edited = try #require(await reader.next())
            #expect((edited.number, edited.frame.number) == (number, number))
        }
        #expect(await session.statistics.delivered == 5)
        await session.finish()
        #expect(await reader.next() == nil)
    }

    /// With a reader slower than the model, and a model slower than the source, every frame of a clip is edited.
    @Test func everyFrameOfAClipIsKept() async throws {
        let backend = StandInBackend { component, mark in
            if component == .denoiser, mark % 9 == 4 { throw StandInBackend.Broken(component: component) }
            await Task.yield()
        }
        var options = EditPipeline<StandInBackend>.Options()
        options.keepsEveryFrame = true
        let session = try session(backend, options: options)
        await #expect(throws: EditError.noInstruction) { try await session.pipeline.submitInTurn(frame(0)) }
        try await session.change(to: "make it snow")
        let (frames, source) = AsyncStream.makeStream(of: StandInBackend.Frame.self)
        for number in 0..<200 { source.yield(frame(number)) }
        source.finish()
        let feeder = Task { try await session.feed(frames) }
        var (edited, failed): ([Int], [Int]) = ([], [])
        for await outcome in session.outcomes {
            switch outcome {
            case .edited(let one): edited.append(one.number)
            case .failed(let failure): failed.append(failure.frame)
            }
            if edited.count % 20 == 0 { for _ in 0..<200 { await Task.yield() } }
        }
        try await feeder.value
        #expect(edited == (0..<200).filter { $0 % 9 != 4 })
        #expect(failed == (0..<200).filter { $0 % 9 == 4 })
        #expect(await session.pipeline.missedOutcomes == 0)
        #expect(await session.pipeline.peakLiveFrames <= FrameGate.maximumLiveFrames)
        await #expect(throws: EditError.stopped) { try await session.pipeline.submitInTurn(frame(1)) }
    }

    /// A camera's frames that look alike are skipped, up to the cap.
    @Test func aFeedOfFramesThatLookAlikeIsThinned() async throws {
        var options = EditPipeline<StandInBackend>.Options()
        (options.similarityThreshold, options.maximumSkips, options.keepsEveryFrame) = (2, 3, true)
        let session = try session(options: options)
        try await session.change(to: "make it snow")
        let bytes = [UInt8](repeating: 9, count: 256)
        let image = try #require(InterleavedImage(width: 8, height: 8, channels: 4, bytes: bytes))
        let look = try #require(FrameSignature(image))
        let (frames, source) = AsyncStream.makeStream(of: StandInBackend.Frame.self)
        for number in 0..<9 { source.yield(frame(number)) }
        source.finish()
        let feeder = Task { try await session.feed(frames, signature: { _ in look }) }
        var edited: [Int] = []
        for await one in session.frames { edited.append(one.number) }
        try await feeder.value
        #expect(edited == [0, 4, 8])
        #expect(await session.statistics.drops == ["similar": 6])
    }

    @Test func aPauseEndsWithItsLastReason() async throws {
        let backend = StandInBackend()
        let session = try session(backend)
        try await session.change(to: "make it snow")
        await session.pause(.interrupted)
        await session.pause(.memory)
        await session.pause(.memory)
        await session.submit(frame(0))
        await session.resume(.memory)
        await session.submit(frame(1))
        #expect(await session.statistics.drops == ["paused": 2])
        // Whoever waits for a turn waits for the end of the pause.
        let waiting = Task { try await session.pipeline.submitInTurn(frame(2)) }
        await session.resume(.interrupted)
        await session.resume(.requested)
        #expect(await session.pauses.isEmpty)
        try await waiting.value
        var reader = session.frames.makeAsyncIterator()
        #expect(await reader.next()?.number == 2)
        // The memory warning freed the kept conditioning.
        try await session.change(to: "make it snow")
        #expect(await backend.log.calls[.textEncoder] == 2)
    }

    @Test func heatCapsTheRateAndComesBack() async throws {
        let levels = [(nil, nil), (10.0, 3)].map { cap, similar in
            QualityLevel(frameRateCap: cap, similarityThreshold: similar, variant: "small", latencyBudget: 10)
        }
        let session = try session(quality: QualityController(levels: levels), now: { 0 })
        try await session.change(to: "make it snow")
        #expect(await session.observe(QualitySample(time: 0, thermal: .critical, battery: 0.5))?.frameRateCap == 10)
        #expect(await session.quality?.reason == .heat)
        for number in 0..<4 { await session.submit(frame(number)) }
        #expect(await session.statistics.drops["rateLimited"] == 3)
        #expect(await session.observe(QualitySample(time: 1))?.frameRateCap == 10)
        #expect(await session.observe(QualitySample(time: 30))?.frameRateCap == nil)
        let plain = try self.session()
        #expect(await plain.observe(QualitySample(time: 0)) == nil)
    }

    @Test func stoppingAnswersWhoeverWaits() async throws {
        let (session, latch, running, waiting) = try await heldChanges()
        await session.stop()
        await #expect(throws: EditError.stopped) { try await running.value }
        await #expect(throws: EditError.stopped) { try await waiting.value }
        await latch.open()
        #expect(await session.history.instructions == [])
        await #expect(throws: EditError.stopped) { try await session.change(to: "fog") }
    }

    @Test func whoeverStopsWaitingIsAnsweredAtOnce() async throws {
        let (session, latch, running, waiting) = try await heldChanges()
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        running.cancel()
        // The component does not listen, but whoever asked is free.
        await #expect(throws: CancellationError.self) { try await running.value }
        let next = Task { try await session.change(to: "fog") }
        await latch.open()
        #expect(try await next.value == .applied)
        #expect(await session.history.instructions.map(\.prompt) == ["fog"])
    }
}
