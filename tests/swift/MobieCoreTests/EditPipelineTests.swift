import Testing

@testable import MobieCore

struct EditPipelineTests {
    private typealias Pipeline = EditPipeline<StandInBackend>

    private func pipeline(_ backend: StandInBackend, options: Pipeline.Options = .init()) throws -> Pipeline {
        let manifest = try Models.manifest("embedded").replacing(
            latents: [1, 4, 1, 1], steps: [ScheduleStep(timestep: 999, estimate: 1, latents: 0, noise: 0)],
            guidance: try Models.manifest("embedded").method.guidance)
        return try EditPipeline(
            manifest: manifest, tokenizer: try Models.tokenizer(), backend: backend, options: options)
    }

    private func frame(_ number: Int) -> StandInBackend.Frame {
        StandInBackend.Frame(number: number, values: [1, 2, 3, Float(number)])
    }

    /// Waits until so many frames have ended, whatever became of them.
    private func settle(_ pipeline: Pipeline, ended count: Int) async throws {
        while true {
            let report = await pipeline.statistics
            if report.delivered + report.drops.values.reduce(0, +) >= count { return }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// A pipeline with an instruction, whose next change waits at the latch.
    private func pipelineWithHeldChange() async throws -> (Pipeline, Latch) {
        let latch = Latch()
        let isSecond = Flag()
        let backend = StandInBackend { component, _ in
            if component == .conditioner, await isSecond.value { await latch.wait() }
        }
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        await isSecond.raise()
        return (pipeline, latch)
    }

    /// What was asked for when a frame started; nil where it was not edited.
    private func prompt(_ pipeline: Pipeline, _ number: Int) async -> String? {
        await pipeline.submit(frame(number), number: number)
        var reader = pipeline.outcomes.makeAsyncIterator()
        guard case .edited(let edited)? = await reader.next() else { return nil }
        return edited.instruction.prompt
    }

    @Test func framesAreEditedInOrder() async throws {
        let backend = StandInBackend()
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        var reader = pipeline.outcomes.makeAsyncIterator()
        for number in 0..<20 {
            await pipeline.submit(frame(number), number: number)
            guard case .edited(let edited)? = await reader.next() else {
                Issue.record("frame \(number) was not edited")
                return
            }
            #expect(edited.number == number)
            #expect(edited.frame.number == number)
            #expect(edited.instruction.prompt == "make it snow")
            #expect(edited.frame == (try await pipeline.edit(frame(number))))
        }
        #expect(await pipeline.statistics.delivered == 20)
        #expect(Set(await pipeline.statistics.latencies.keys) == ["encoder", "denoiser", "decoder", "frame"])
    }

    @Test func stagesOverlapAndFramesInsideAreBounded() async throws {
        let backend = StandInBackend { component, _ in
            if component != .textEncoder && component != .conditioner { try await Task.sleep(for: .milliseconds(4)) }
        }
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        for number in 0..<60 {
            await pipeline.submit(frame(number), number: number)
            try await Task.sleep(for: .milliseconds(1))
        }
        try await settle(pipeline, ended: 60)
        let most = await backend.log.mostAtOnce
        #expect(most[.encoder] == 1)
        #expect(most[.denoiser] == 1)
        #expect(most[.decoder] == 1)
        #expect(await backend.log.mostComponentsAtOnce >= 2)
        #expect(await pipeline.peakLiveFrames <= FrameGate.maximumLiveFrames)
        let report = await pipeline.statistics
        #expect(report.delivered > 3)
        #expect(report.delivered + (report.drops["replaced"] ?? 0) == 60)
    }

    @Test func errorsOfAFrameDoNotEndTheStream() async throws {
        let backend = StandInBackend { component, mark in
            let stages: [ComponentName] = [.encoder, .denoiser, .decoder]
            if mark % 4 != 0, component == stages[mark % 4 - 1] { throw StandInBackend.Broken(component: component) }
        }
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        var reader = pipeline.outcomes.makeAsyncIterator()
        for number in 0..<12 {
            await pipeline.submit(frame(number), number: number)
            switch await reader.next() {
            case .edited(let edited)?: #expect(edited.number == number && number % 4 == 0)
            case .failed(let failure)?:
                #expect(failure.frame == number)
                #expect(failure.stage == FrameGate.Stage.allCases[number % 4 - 1])
                #expect(failure.errorDescription?.contains("broken") == true)
            case nil: Issue.record("the stream ended")
            }
        }
        #expect(await pipeline.statistics.drops == ["failed": 9])
    }

    @Test func nothingRunsBeforeTheFirstInstruction() async throws {
        let backend = StandInBackend()
        let pipeline = try pipeline(backend)
        await pipeline.submit(frame(0), number: 0)
        #expect(await pipeline.statistics.drops == ["paused": 1])
        await #expect(throws: EditError.noInstruction) { try await pipeline.edit(frame(0)) }
        #expect(await backend.log.calls == [:])
    }

    @Test func framesGoOnWhileAChangeIsPrepared() async throws {
        let (pipeline, latch) = try await pipelineWithHeldChange()
        let change = Task { try await pipeline.change(EditInstruction(prompt: "make it rain")) }
        await latch.arrived()
        for number in 0..<5 { #expect(await prompt(pipeline, number) == "make it snow") }
        await latch.open()
        try await change.value
        for number in 5..<8 { #expect(await prompt(pipeline, number) == "make it rain") }
    }

    @Test func whoeverAskedLastIsHeard() async throws {
        let latch = Latch()
        let backend = StandInBackend { component, mark in
            if component == .textEncoder, await latch.isFirst() { await latch.wait() }
        }
        let pipeline = try pipeline(backend)
        let slow = Task { try await pipeline.change(EditInstruction(prompt: "make it snow")) }
        await latch.arrived()
        try await pipeline.change(EditInstruction(prompt: "make it rain"))
        await latch.open()
        try await slow.value
        #expect(await prompt(pipeline, 1) == "make it rain")
    }

    @Test func aChangeThatFailsOrIsCancelledLeavesTheOldInstruction() async throws {
        let (pipeline, latch) = try await pipelineWithHeldChange()
        await #expect(throws: EditError.emptyPrompt) { try await pipeline.change(EditInstruction(prompt: "")) }
        let cancelled = Task { try await pipeline.change(EditInstruction(prompt: "make it rain")) }
        await latch.arrived()
        cancelled.cancel()
        await latch.open()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        #expect(await prompt(pipeline, 1) == "make it snow")
    }

    @Test(arguments: [ComponentName.encoder, .denoiser, .decoder])
    func stoppingDuringAStageEndsTheStream(stage: ComponentName) async throws {
        let latch = Latch()
        let wasCancelled = Flag()
        let backend = StandInBackend { component, _ in
            guard component == stage else { return }
            await latch.wait()
            if Task.isCancelled { await wasCancelled.raise() }
        }
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        await pipeline.submit(frame(1), number: 1)
        await latch.arrived()
        await pipeline.stop()
        await latch.open()
        var outcomes = 0
        for await _ in pipeline.outcomes { outcomes += 1 }
        #expect(outcomes == 0)
        while !(await wasCancelled.value) { try await Task.sleep(for: .milliseconds(1)) }
        // What comes afterwards changes nothing.
        await pipeline.submit(frame(2), number: 2)
        await pipeline.stop()
        #expect(await pipeline.statistics.delivered == 0)
        await #expect(throws: EditError.stopped) { try await pipeline.edit(frame(2)) }
        await #expect(throws: EditError.stopped) { try await pipeline.change(EditInstruction(prompt: "fog")) }
    }

    @Test func aReaderThatLeavesStopsThePipeline() async throws {
        let backend = StandInBackend()
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        let reader = Task {
            for await _ in pipeline.outcomes {}
        }
        reader.cancel()
        await reader.value
        while (try? await pipeline.edit(frame(1))) != nil { try await Task.sleep(for: .milliseconds(1)) }
        await pipeline.submit(frame(1), number: 1)
        #expect(await pipeline.statistics.delivered == 0)
    }

    @Test func aPauseDropsFramesAndEnds() async throws {
        let pipeline = try pipeline(StandInBackend())
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        await pipeline.pause()
        await pipeline.submit(frame(1), number: 1)
        #expect(await pipeline.statistics.drops == ["paused": 1])
        await pipeline.releaseMemory()
        await pipeline.resume()
        await pipeline.submit(frame(2), number: 2)
        try await settle(pipeline, ended: 2)
        #expect(await pipeline.statistics.delivered == 1)
    }

    @Test func freshNoiseDiffersFromFrameToFrameAndComesBack() async throws {
        var options = Pipeline.Options()
        options.freshNoise = true
        let pipeline = try pipeline(StandInBackend(), options: options)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        let first = try await pipeline.edit(frame(1), number: 1)
        #expect(try await pipeline.edit(frame(1), number: 2) != first)
        #expect(try await pipeline.edit(frame(1), number: 1) == first)
    }

    @Test func anIncompleteModelIsRefused() throws {
        let manifest = try Models.manifest("palettized")
        let tokenizer = try Models.tokenizer()
        #expect(throws: EditError.incomplete([.textEncoder])) {
            try EditPipeline(manifest: manifest, tokenizer: tokenizer, backend: StandInBackend())
        }
    }

    @Test func moreLatentsThanMemoryAreRefused() throws {
        let whole = try Models.manifest("embedded")
        let manifest = whole.replacing(
            latents: [1, 1_048_576, 24, 32], steps: whole.schedule.steps, guidance: whole.method.guidance)
        let tokenizer = try Models.tokenizer()
        #expect(throws: EditError.tooManyLatents(805_306_368)) {
            try EditPipeline(manifest: manifest, tokenizer: tokenizer, backend: StandInBackend())
        }
    }

    /// Many frames, some broken, some twice, with changes and pauses: every frame ends once, and few are inside.
    @Test(arguments: [1, 2, 3])
    func everyFrameEndsOnce(seed: UInt64) async throws {
        let backend = StandInBackend { component, mark in
            if mark % 7 == 3, component == .denoiser { throw StandInBackend.Broken(component: component) }
            if mark % 5 == 0 { await Task.yield() }
        }
        let pipeline = try pipeline(backend)
        try await pipeline.change(EditInstruction(prompt: "make it snow"))
        let reader = Task {
            var last = -1
            var isOrdered = true
            for await outcome in pipeline.outcomes {
                guard case .edited(let edited) = outcome else { continue }
                isOrdered = isOrdered && edited.number > last
                last = edited.number
            }
            return isOrdered
        }
        var source = SplitMix(state: seed)
        let count = 2000
        for number in 0..<count {
            await pipeline.submit(frame(number), number: source.next() % 20 == 0 ? max(0, number - 1) : number)
            switch source.next() % 50 {
            case 0: await pipeline.pause()
            case 1...10: await pipeline.resume()
            case 11: try await pipeline.change(EditInstruction(prompt: "make it rain \(number % 3)"))
            case 12...20: await Task.yield()
            default: break
            }
        }
        try await settle(pipeline, ended: count)
        let report = await pipeline.statistics
        #expect(report.delivered + report.drops.values.reduce(0, +) == count, "seed \(seed)")
        #expect(await pipeline.peakLiveFrames <= FrameGate.maximumLiveFrames)
        await pipeline.stop()
        #expect(await reader.value)
    }
}

/// A flag that tasks share.
actor Flag {
    private(set) var value = false

    func raise() {
        value = true
    }
}
