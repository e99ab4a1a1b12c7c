import Testing

@testable import MobieCore

/// A session on virtual time under a storm of events that a seed decides: frames dropped, late, doubled; prompts that
/// change and changes that are cancelled; pauses, memory warnings, heat. One event happens at a time, and only when
/// every task sleeps, so a seed always gives the same run.
///
/// After every event the invariants are checked that need no history; `run` checks the rest.
struct SessionSimulation {
    /// How wild it gets: one frame in so many has the event; 0 for never.
    struct Storm {
        var promptChange: UInt64 = 30
        var cancelledChange: UInt64 = 0
        var pause: UInt64 = 0
        var outOfOrder: UInt64 = 0
        var lostFrames: UInt64 = 0
        var heat: UInt64 = 0
        /// Of one thermal state; the way up and down has eight, then it stays cool for so many more.
        var heatSeconds: Double = 2.5
        var coolStates = 0
        /// Of the components.
        var failure: UInt64 = 0
        var stall: UInt64 = 0

        static let calm = Storm()
        static let wild = Storm(
            promptChange: 3, cancelledChange: 5, pause: 80, outOfOrder: 20, lostFrames: 15, heat: 7, failure: 25,
            stall: 200)
        /// Another prompt with every frame.
        static let restless = Storm(promptChange: 1)
    }

    /// What happened, for comparing runs.
    struct Summary: Equatable {
        var delivered: [Int] = []
        var deliveredCount = 0
        var failed = 0
        var drops: [String: Int] = [:]
        var changes: [String: Int] = [:]
        var levels: Set<Int> = []
        var peakLive = 0
        var peakAlive = 0
        var duration: Int64 = 0
    }

    struct Stuck: Error {}

    typealias Session = EditSession<SimulatedBackend>

    private static let frameInterval: Int64 = 33_333_333
    /// Results of a run that are kept for comparison.
    private static let keptResults = 1000

    private let clock = VirtualClock()
    private let backend: SimulatedBackend
    private let session: Session
    private let tokenizer: CLIPTokenizer
    private let storm: Storm
    /// Whether results show their frame and prompt: sums of several passes do not.
    private let isTraceable: Bool
    private let label: String
    private let answers = Locked<[String: Int]>([:])
    private let looks: [FrameSignature]
    private var source: SplitMix
    private var summary = Summary()
    private var submitted = 0
    private var asked = 0
    private var number = 0
    private var lastDelivered = Int.min
    private var marks: [String: UInt64] = [:]
    private var resumeAt: Int64?
    private var reader: EditPipeline<SimulatedBackend>.Outcomes.AsyncIterator

    init(seed: UInt64, storm: Storm, schedule base: String = "embedded", similarity: Int? = nil) throws {
        var plan = SimulatedBackend.Plan(seed: seed)
        (plan.failsOneIn, plan.stallsOneIn) = (storm.failure, storm.stall)
        backend = SimulatedBackend(clock: clock, plan: plan)
        let read = try Models.manifest(base)
        let manifest = read.replacing(
            latents: [1, 4, 1, 1], steps: read.schedule.steps, guidance: read.method.guidance)
        tokenizer = try Models.tokenizer()
        var options = EditPipeline<SimulatedBackend>.Options()
        options.similarityThreshold = similarity
        let clock = clock
        let pipeline = try EditPipeline(
            manifest: manifest, tokenizer: tokenizer, backend: backend, options: options, now: { clock.now })
        let levels = [(nil, nil), (20.0, nil), (15.0, 2), (5.0, 4)].map { cap, similar in
            QualityLevel(frameRateCap: cap, similarityThreshold: similar, variant: "model", latencyBudget: 1.5)
        }
        session = Session(pipeline: pipeline, quality: QualityController(levels: levels))
        reader = session.outcomes.makeAsyncIterator()
        source = SplitMix(state: seed)
        self.storm = storm
        isTraceable = manifest.schedule.steps.count == 1 && manifest.method.guidance.passes.count == 1
        label = "seed \(seed)"
        looks = try [10, 12, 90].map { level in
            let bytes = Array(repeatElement([UInt8(level), UInt8(level), UInt8(level), 255], count: 64).joined())
            let image = try #require(InterleavedImage(width: 8, height: 8, channels: 4, bytes: bytes))
            return try #require(FrameSignature(image))
        }
    }

    /// Runs so many frames, then drains the session.
    mutating func run(frames: Int) async throws -> Summary {
        try await applyFirstPrompt()
        var arrival = clock.now
        while submitted < frames {
            try await settle()
            if let deadline = clock.nextDeadline, deadline <= arrival {
                clock.wakeEarliest()
            } else {
                clock.advance(to: arrival)
                try await frameComes()
                arrival += Self.frameInterval + Int64(source.next() % 2_000_000)
            }
            try await settle()
            await readOutcomes()
        }
        for reason in PauseReason.allCases { await session.resume(reason) }
        await session.finish()
        repeat {
            try await settle()
            await readOutcomes()
        } while clock.wakeEarliest()
        await check()
        return summary
    }

    private mutating func applyFirstPrompt() async throws {
        // The components may fail on it.
        while await session.instruction == nil {
            let first = Task { [session] in try await session.change(to: "make it snow 0") }
            asked += 1
            while await session.changing.prepared == 0 { await Task.yield() }
            while await session.changing.prepared > 0 {
                clock.wakeEarliest()
                await Task.yield()
            }
            note(await first.result)
        }
    }

    private mutating func frameComes() async throws {
        if let time = resumeAt, clock.now >= time {
            for reason in PauseReason.allCases { await session.resume(reason) }
            resumeAt = nil
        }
        if happens(storm.pause) {
            await session.pause(PauseReason.allCases[Int(source.next() % 3)])
            resumeAt = clock.now + 500_000_000
        }
        if happens(storm.heat) { await observe() }
        if happens(storm.promptChange) { try await change() }
        number += happens(storm.lostFrames) ? 1 + Int(source.next() % 5) : 1
        let isLate = happens(storm.outOfOrder)
        let given = isLate ? number - Int(source.next() % 4) : number
        let look = looks[Int(source.next() % 3)]
        await session.pipeline.submit(backend.makeFrame(given), number: given, signature: look)
        submitted += 1
    }

    private mutating func observe() async {
        let time = Double(clock.now) / 1e9
        let place = min(Int(time / storm.heatSeconds) % (8 + storm.coolStates), 7)
        let sample = QualitySample(
            time: time, thermal: ThermalState.allCases[place < 4 ? place : 7 - place],
            battery: 0.8, isLowPowerMode: source.next() % 50 == 0)
        await session.observe(sample)
        if let level = await session.quality?.level { summary.levels.insert(level) }
    }

    private mutating func change() async throws {
        let prompt = "make it snow \(source.next() % 40)"
        let task = Task { [session, answers] in
            let answer: String
            do {
                answer = "\(try await session.change(to: prompt))"
            } catch {
                answer = error is CancellationError ? "cancelled" : "failed"
            }
            answers.withLock { $0[answer, default: 0] += 1 }
        }
        asked += 1
        guard happens(storm.cancelledChange) else { return }
        try await settle()
        task.cancel()
        await task.value
    }

    private mutating func happens(_ oneIn: UInt64) -> Bool {
        oneIn > 0 && source.next() % oneIn == 0
    }

    private mutating func note(_ result: Result<Session.Change, any Error>) {
        let answer: String
        switch result {
        case .success(let change): answer = "\(change)"
        case .failure(let error): answer = error is CancellationError ? "cancelled" : "failed"
        }
        answers.withLock { $0[answer, default: 0] += 1 }
    }

    /// Waits until every task sleeps. Who sleeps is asked first: tasks that wake meanwhile can only start more work.
    private func settle() async throws {
        for _ in 0..<2_000_000 {
            let sleeping = clock.sleeping
            let (prepared, awaited) = await session.changing
            let running = await session.pipeline.runningStages
            let answered = answers.withLock { $0.values.reduce(0, +) }
            if sleeping == running + prepared && answered + awaited == asked { return }
            await Task.yield()
        }
        Issue.record("a task never came back: \(label)")
        throw Stuck()
    }

    private mutating func readOutcomes() async {
        while await session.pipeline.unreadOutcomes > 0, let outcome = await reader.next() {
            switch outcome {
            case .failed: summary.failed += 1
            case .edited(let edited):
                #expect(edited.number > lastDelivered, "out of order: \(label)")
                if isTraceable {
                    #expect(edited.frame.frame == edited.number, "another frame's result: \(label)")
                    #expect(edited.frame.mark == mark(edited.instruction.prompt), "another prompt's result: \(label)")
                }
                lastDelivered = edited.number
                summary.deliveredCount += 1
                if summary.delivered.count < Self.keptResults { summary.delivered.append(edited.number) }
            }
        }
        summary.peakAlive = max(summary.peakAlive, backend.census.alive)
    }

    private mutating func mark(_ prompt: String) -> UInt64? {
        if let known = marks[prompt] { return known }
        marks[prompt] = (try? tokenizer.encode(prompt)).map { SimulatedBackend.mark($0.ids) }
        return marks[prompt]
    }

    private mutating func check() async {
        let end = await reader.next()
        #expect(end == nil, "the stream did not end: \(label)")
        let report = await session.statistics
        #expect(report.delivered == summary.deliveredCount, "\(label)")
        #expect(report.delivered + report.drops.values.reduce(0, +) == submitted, "a frame is lost: \(label)")
        #expect(report.drops["failed", default: 0] == summary.failed, "\(label)")
        #expect(await session.pipeline.missedOutcomes == 0, "\(label)")
        summary.drops = report.drops
        summary.changes = answers.withLock { $0 }
        summary.peakLive = await session.pipeline.peakLiveFrames
        summary.duration = clock.now
        #expect(summary.changes.values.reduce(0, +) == asked, "a change has no answer: \(label)")
        #expect(summary.peakLive <= FrameGate.maximumLiveFrames, "\(label)")
        #expect(clock.sleeping == 0, "\(label)")
    }

    /// Frames and tensors that may be alive at once: frames and results inside, in tasks that just ended and with the
    /// reader; noise; the kept conditioning with its text states, and the one that is in use.
    func aliveBound(stepsTimesPasses: Int) -> Int {
        4 * FrameGate.maximumLiveFrames + 1 + (16 * stepsTimesPasses + 17) + stepsTimesPasses + 2
    }
}
