import Foundation

/// From a model folder to a stream of edited frames: prompts and scales with their history, frames in, frames out,
/// pauses, and a level of work that follows the device's heat.
///
/// Changes are prepared one at a time beside the frames, and of those that wait only the newest counts: a slider may
/// send as many as it likes.
public actor EditSession<Backend: EditBackend> {
    /// What became of a change.
    public enum Change: Sendable, Equatable {
        /// Frames have it from now on.
        case applied
        /// A newer one came while it waited; it never ran.
        case superseded
    }

    private struct Request {
        let number: Int
        let instruction: EditInstruction
        let answer: CheckedContinuation<Change, any Error>
    }

    private struct Running {
        let number: Int
        let instruction: EditInstruction
        let task: Task<Void, Never>
        /// nil where whoever asked does not wait any more.
        var answer: CheckedContinuation<Change, any Error>?
    }

    /// What runs inside.
    public nonisolated let pipeline: EditPipeline<Backend>
    /// Instructions that took effect.
    public private(set) var history = PromptHistory()
    /// Why no frames are taken; empty where they are.
    public private(set) var pauses: Set<PauseReason> = []
    /// What the `QualityController` last decided; nil without one.
    public private(set) var quality: QualityController.State?

    private let controller: QualityController?
    private var applied: EditInstruction?
    private var waiting: Request?
    private var running: Running?
    private var requests = 0
    private var isStopped = false

    /// A session of a model folder.
    ///
    /// - Parameters:
    ///   - url: The folder; its packages are the backend's to check.
    ///   - backend: Runs the folder's components.
    ///   - options: How the pipeline works.
    ///   - quality: Levels of work; nil always does everything.
    /// - Throws: `ManifestError`, `TokenizerError`, `EditError`.
    public init(
        model url: URL, backend: Backend, options: EditPipeline<Backend>.Options = .init(),
        quality: QualityController? = nil
    ) throws {
        let folder = try ModelFolder.open(url)
        let tokenizer = try CLIPTokenizer(modelFolder: url, positions: folder.manifest.tokenizer.positions)
        let pipeline = try EditPipeline(
            manifest: folder.manifest, tokenizer: tokenizer, backend: backend, options: options)
        self.init(pipeline: pipeline, quality: quality)
    }

    /// A session of a pipeline that is ready, and used by nobody else.
    public init(pipeline: EditPipeline<Backend>, quality: QualityController? = nil) {
        self.pipeline = pipeline
        controller = quality
        self.quality = quality.map { _ in QualityController.State() }
    }

    /// Edited frames in order, for one reader; those that failed are counted by the statistics.
    public nonisolated var frames: EditPipeline<Backend>.EditedFrames { .init(outcomes: pipeline.outcomes) }

    /// Edited frames and failures in order, for one reader, instead of `frames`.
    public nonisolated var outcomes: EditPipeline<Backend>.Outcomes { pipeline.outcomes }

    /// What was asked for last, whether it took effect already or not.
    public var instruction: EditInstruction? { waiting?.instruction ?? running?.instruction ?? applied }

    /// The scales that were asked for last.
    public var controls: GuidanceControls {
        get throws(EditError) {
            try GuidanceControls(
                pipeline.manifest.method.guidance, text: instruction?.textGuidance, image: instruction?.imageGuidance)
        }
    }

    /// Asks for another prompt with the scales as they are.
    ///
    /// - Throws: See `change(_:)`.
    @discardableResult
    public func change(to prompt: String) async throws -> Change {
        var next = instruction ?? EditInstruction(prompt: prompt)
        next.prompt = prompt
        return try await change(next)
    }

    /// Asks for other scales with the prompt as it is.
    ///
    /// - Throws: `EditError.noInstruction` before the first prompt; else see `change(_:)`.
    @discardableResult
    public func change(_ controls: GuidanceControls) async throws -> Change {
        guard var next = instruction else { throw EditError.noInstruction }
        (next.textGuidance, next.imageGuidance) = (controls.scales.text, controls.scales.image)
        return try await change(next)
    }

    /// Asks for what was asked for before; nil, and nothing changes, where nothing was.
    ///
    /// - Throws: See `change(_:)`.
    @discardableResult
    public func undo() async throws -> Change? {
        guard let previous = history.previous else { return nil }
        return try await change(previous)
    }

    /// Asks for an edit and returns when frames have it. Those that run meanwhile have the old one.
    ///
    /// - Throws: `EditError`, `TokenizerError`, what the backend throws, or `CancellationError`; the old instruction
    ///   stays then.
    @discardableResult
    public func change(_ instruction: EditInstruction) async throws -> Change {
        requests += 1
        let number = requests
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { answer in
                ask(Request(number: number, instruction: instruction, answer: answer))
            }
        } onCancel: {
            Task { await self.cancelChange(number) }
        }
    }

    /// Takes a frame of the model's size; never waits for the pipeline. The newest frame wins.
    public nonisolated func submit(_ frame: Backend.Frame, signature: FrameSignature? = nil) async {
        await pipeline.submit(frame, signature: signature)
    }

    /// Submits frames as they come, until there are no more. With `Options.keepsEveryFrame` each waits its turn, and the
    /// stream of edited frames ends after the last one; without, more frames may come afterwards.
    ///
    /// - Parameters:
    ///   - frames: Of the model's size.
    ///   - signature: What a frame looks like; without it no frame is similar to another.
    /// - Throws: What the frames' source throws, `EditError`, or `CancellationError`.
    public nonisolated func feed<Frames: AsyncSequence & Sendable>(
        _ frames: Frames, signature: @Sendable (Backend.Frame) -> FrameSignature? = { _ in nil }
    ) async throws where Frames.Element == Backend.Frame {
        let keepsEveryFrame = pipeline.keepsEveryFrame
        for try await frame in frames {
            if keepsEveryFrame {
                try await pipeline.submitInTurn(frame, signature: signature(frame))
            } else {
                await pipeline.submit(frame, signature: signature(frame))
            }
        }
        // Where the task is cancelled, a sequence may end as if it were over.
        try Task.checkCancellation()
        if keepsEveryFrame { await pipeline.finish() }
    }

    /// Drops frames that come until every reason is taken back; those that run go on. For `memory` what can be made
    /// again is freed too.
    public func pause(_ reason: PauseReason = .requested) async {
        if pauses.insert(reason).inserted && pauses.count == 1 { await tellPauses() }
        if reason == .memory { await pipeline.releaseMemory() }
    }

    /// Takes back a reason; frames are taken again after the last one.
    public func resume(_ reason: PauseReason = .requested) async {
        if pauses.remove(reason) != nil && pauses.isEmpty { await tellPauses() }
    }

    /// Follows the device: caps the frame rate and skips similar frames as the level asks.
    ///
    /// - Parameter sample: Where it has no latency, the pipeline's own is taken.
    /// - Returns: The level, whose `variant` names the model that should run; nil without a controller.
    @discardableResult
    public func observe(_ sample: QualitySample) async -> QualityLevel? {
        await pipeline.observe(sample.thermal, battery: sample.battery)
        guard let controller else { return nil }
        var sample = sample
        if sample.latency == nil { sample.latency = await pipeline.recentLatency.map { Double($0) / 1e9 } }
        let next = controller.next(quality ?? .init(), sample)
        quality = next
        let level = controller.level(next)
        await pipeline.limitRate(to: level.frameRateCap)
        await pipeline.skipSimilarFrames(threshold: level.similarityThreshold)
        return level
    }

    /// What the session did so far.
    public var statistics: FrameStatistics.Report {
        get async { await pipeline.statistics }
    }

    /// Takes no more frames; the stream ends after those that are inside.
    public func finish() async {
        await pipeline.finish()
    }

    /// Ends everything: the stream, and changes that wait.
    public func stop() async {
        isStopped = true
        let answers = [waiting?.answer, running?.answer]
        running?.answer = nil
        running?.task.cancel()
        waiting = nil
        for answer in answers { answer?.resume(throwing: EditError.stopped) }
        await pipeline.stop()
    }

    /// Changes that are being prepared, one or none, and callers that wait for an answer.
    var changing: (prepared: Int, awaited: Int) {
        (running == nil ? 0 : 1, (waiting == nil ? 0 : 1) + (running?.answer == nil ? 0 : 1))
    }

    /// Calls of another actor may overtake each other: whichever comes back last sees to it that the pipeline has what is
    /// true now.
    private func tellPauses() async {
        var isPaused: Bool
        repeat {
            isPaused = !pauses.isEmpty
            if isPaused { await pipeline.pause() } else { await pipeline.resume() }
        } while isPaused == pauses.isEmpty
    }

    private func ask(_ request: Request) {
        if isStopped {
            request.answer.resume(throwing: EditError.stopped)
        } else if Task.isCancelled {
            request.answer.resume(throwing: CancellationError())
        } else {
            waiting?.answer.resume(returning: .superseded)
            waiting = request
            startNext()
        }
    }

    private func startNext() {
        guard running == nil, let request = waiting else { return }
        waiting = nil
        let task = Task {
            let result: Result<Change, any Error>
            do {
                try await self.pipeline.change(request.instruction)
                result = .success(.applied)
            } catch {
                result = .failure(error)
            }
            self.ended(result)
        }
        running = Running(
            number: request.number, instruction: request.instruction, task: task, answer: request.answer)
    }

    private func ended(_ result: Result<Change, any Error>) {
        guard let done = running else { return }
        running = nil
        // What took effect did so, whether anybody waits for it or not.
        if case .success = result {
            applied = done.instruction
            history.record(done.instruction)
        }
        done.answer?.resume(with: result)
        startNext()
    }

    private func cancelChange(_ number: Int) {
        if waiting?.number == number {
            waiting?.answer.resume(throwing: CancellationError())
            waiting = nil
        } else if running?.number == number {
            running?.task.cancel()
            running?.answer?.resume(throwing: CancellationError())
            running?.answer = nil
        }
    }
}
