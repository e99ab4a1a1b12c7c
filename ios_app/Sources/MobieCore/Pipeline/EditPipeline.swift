/// Edits a stream of frames: the newest frame wins, the encoder, denoiser and decoder each work on a frame at the same
/// time, and a change of instruction takes effect between two frames without a stall.
///
/// Frames come in through `submit`, which never waits, or `submitInTurn`, which waits for room; results come out of
/// `outcomes`, in order. An error on a frame is one of the outcomes and does not end the stream. At most
/// `FrameGate.maximumLiveFrames` frames are inside, and one outcome waits for the reader (a few with
/// `Options.keepsEveryFrame`): nothing queues up.
public actor EditPipeline<Backend: EditBackend> {
    /// What a stage hands on.
    private enum Product: Sendable {
        case tensor(Backend.Tensor)
        case frame(Backend.Frame)
    }

    private struct Instructed: Sendable {
        let instruction: EditInstruction
        let conditioning: Conditioning<Backend.Tensor>
    }

    private struct LiveFrame: Sendable {
        let arrival: Int64
        var product: Product
        var instructed: Instructed?
    }

    /// Outcomes that may wait for the reader where every frame is kept: those of all that are inside, and as many read.
    private static var outcomeRoom: Int { 2 * FrameGate.maximumLiveFrames }

    /// Of the model that the backend runs.
    public nonisolated let manifest: ModelManifest

    /// Most frames that were inside at once.
    public private(set) var peakLiveFrames = 0

    /// Outcomes that a newer one replaced before they were read.
    public private(set) var missedOutcomes = 0

    private nonisolated let stream: AsyncStream<Outcome>
    private let continuation: AsyncStream<Outcome>.Continuation
    private let backend: Backend
    private let runner: EditRunner<Backend>
    private let conditioner: Conditioner<Backend>
    private let options: Options
    private let now: @Sendable () -> Int64
    private var gate: FrameGate
    private var live: [Int: LiveFrame] = [:]
    private var tasks: [FrameGate.Stage: Task<Void, Never>] = [:]
    private var instructed: Instructed?
    private var changes = 0
    private var appliedChange = 0
    private var isFinishing = false
    private var isStopped = false
    private var fixedNoise: EditRunner<Backend>.Noise?
    private var measured = FrameStatistics()
    private var nextNumber = 0
    /// Outcomes that wait for the reader.
    private(set) var unreadOutcomes = 0
    private var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    private var nextWaiter = 0

    /// A pipeline without an instruction yet: frames are dropped until the first `change` is done.
    ///
    /// - Parameters:
    ///   - manifest: Of the model that the backend runs.
    ///   - tokenizer: The model's.
    ///   - backend: Runs the model's components.
    ///   - options: How it works.
    ///   - now: A clock in nanoseconds that does not go back.
    /// - Throws: `EditError.incomplete` where the model lacks components, `EditError.tooManyLatents`.
    public init(
        manifest: ModelManifest, tokenizer: CLIPTokenizer, backend: Backend, options: Options = Options(),
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws(EditError) {
        guard manifest.missing.isEmpty else { throw .incomplete(manifest.missing) }
        let count = manifest.latents.shape.reduce(1, *)
        guard count <= maximumLatents else { throw .tooManyLatents(count) }
        let room = options.keepsEveryFrame ? Self.outcomeRoom : 1
        (stream, continuation) = AsyncStream.makeStream(of: Outcome.self, bufferingPolicy: .bufferingNewest(room))
        self.manifest = manifest
        self.backend = backend
        self.options = options
        self.now = now
        runner = EditRunner(backend: backend, manifest: manifest)
        conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: tokenizer)
        gate = FrameGate(similarityThreshold: options.similarityThreshold, maximumSkips: options.maximumSkips)
        continuation.onTermination = { [weak self] _ in
            Task { await self?.stop() }
        }
    }

    deinit {
        continuation.finish()
    }

    /// Edited frames and failures, in order, for one reader; ends with `stop()`, or after `finish()`.
    public nonisolated var outcomes: Outcomes {
        Outcomes(stream: stream) { [weak self] in await self?.didReadOutcome() }
    }

    /// Changes what is asked for. Frames go on with the old instruction meanwhile; those whose Denoiser starts after
    /// this returns have the new one, unless a later change was done first.
    ///
    /// - Throws: `EditError`, `TokenizerError`, what the backend throws, or `CancellationError`; the old instruction
    ///   stays then.
    public func change(_ instruction: EditInstruction) async throws {
        changes += 1
        let number = changes
        let conditioning = try await conditioner.condition(instruction)
        try Task.checkCancellation()
        if isStopped { throw EditError.stopped }
        // Whoever asked last is heard, whichever conditioning is done first.
        guard number > appliedChange else { return }
        appliedChange = number
        instructed = Instructed(instruction: instruction, conditioning: conditioning)
        gate.invalidate()
    }

    /// Takes a frame of the model's size; never waits.
    ///
    /// - Parameters:
    ///   - frame: The frame.
    ///   - given: Numbers grow; a frame that comes after a newer one is dropped. nil is the one after the last.
    ///   - signature: What it looks like, for skipping similar frames.
    public func submit(_ frame: Backend.Frame, number given: Int? = nil, signature: FrameSignature? = nil) {
        if isStopped || isFinishing { return }
        let time = now()
        let number = given ?? nextNumber
        nextNumber = max(nextNumber, number &+ 1)
        if instructed == nil {
            measured.recordDrop(.paused)
            return
        }
        // A number that is inside already must not take the other frame's place.
        if live[number] != nil {
            measured.recordDrop(.outOfOrder)
            return
        }
        live[number] = LiveFrame(arrival: time, product: .frame(frame))
        perform(gate.arrive(frame: number, time: time, signature: signature))
        peakLiveFrames = max(peakLiveFrames, live.count)
    }

    /// Takes a frame when there is room for it: it replaces none, and waits while the pipeline is paused. With
    /// `Options.keepsEveryFrame` it waits for the reader of the outcomes too, so that every frame of a clip has one.
    ///
    /// Call it from one task, or the order is not known; the parameters are those of `submit`.
    ///
    /// - Throws: `EditError.noInstruction`, `EditError.stopped`, or `CancellationError`.
    public func submitInTurn(
        _ frame: Backend.Frame, number: Int? = nil, signature: FrameSignature? = nil
    ) async throws {
        while true {
            try Task.checkCancellation()
            if isStopped || isFinishing { throw EditError.stopped }
            if instructed == nil { throw EditError.noInstruction }
            if hasRoom { break }
            let waiter = nextWaiter
            nextWaiter += 1
            await withTaskCancellationHandler {
                await withCheckedContinuation { waiters[waiter] = $0 }
            } onCancel: {
                Task { await self.wake(waiter) }
            }
        }
        submit(frame, number: number, signature: signature)
    }

    /// Frames a second at most; nil for as many as come.
    public func limitRate(to framesPerSecond: Double?) {
        gate.limitRate(to: framesPerSecond)
    }

    /// See `FrameGate.similarityThreshold`.
    public func skipSimilarFrames(threshold: Int?) {
        gate.similarityThreshold = threshold
    }

    /// Drops frames that come until `resume`; those that run go on.
    public func pause() {
        perform(gate.pause())
    }

    /// Takes frames again.
    public func resume() {
        gate.resume()
        wakeForRoom()
    }

    /// Frees what can be made again: kept conditioning of earlier instructions.
    public func releaseMemory() async {
        await conditioner.clear()
    }

    /// Edits one frame by itself, beside the stream and not counted by it: for warm-up and for single pictures.
    ///
    /// - Parameters:
    ///   - frame: Of the model's size.
    ///   - number: Decides the noise where it is fresh for every frame.
    /// - Throws: `EditError.noInstruction`, `EditError.stopped`, what the backend throws, or `CancellationError`.
    public func edit(_ frame: Backend.Frame, number: Int = 0) async throws -> Backend.Frame {
        guard let instructed else { throw isStopped ? EditError.stopped : EditError.noInstruction }
        let image = try await backend.encode(frame)
        try Task.checkCancellation()
        let latents = try await runner.denoise(image, instructed.conditioning, try await noise(number))
        try Task.checkCancellation()
        return try await backend.decode(latents)
    }

    /// Takes no more frames; the stream ends after those that are inside.
    public func finish() {
        isFinishing = true
        wakeAll()
        stopWhereFinished()
    }

    /// Ends the stream: stages that run are cancelled and their results are dropped.
    public func stop() {
        if isStopped { return }
        isStopped = true
        for task in tasks.values { task.cancel() }
        tasks = [:]
        live = [:]
        instructed = nil
        continuation.finish()
        wakeAll()
    }

    /// What the session did so far.
    public var statistics: FrameStatistics.Report { measured.report() }

    /// 95th percentile of the last frames' latencies in nanoseconds, for the `QualityController`.
    public var recentLatency: UInt64? { measured.recentP95 }

    /// Notes the device's state, for the statistics.
    public func observe(_ state: ThermalState, battery: Double? = nil) {
        measured.record(state, battery: battery, time: now())
    }

    /// See `Options.keepsEveryFrame`.
    nonisolated var keepsEveryFrame: Bool { options.keepsEveryFrame }

    /// Stages that are at work; none after `stop()`.
    var runningStages: Int { isStopped ? 0 : gate.runningStages }

    private var hasRoom: Bool {
        if gate.isPaused || !gate.isEntranceFree { return false }
        return !options.keepsEveryFrame || unreadOutcomes + live.count < Self.outcomeRoom
    }

    private func perform(_ actions: [FrameGate.Action]) {
        for action in actions {
            switch action {
            case .run(let stage, let frame): start(stage, frame)
            case .drop(let frame, let reason):
                measured.recordDrop(reason)
                live[frame] = nil
            case .deliver(let frame): deliver(frame)
            }
        }
        wakeForRoom()
        stopWhereFinished()
    }

    private func start(_ stage: FrameGate.Stage, _ number: Int) {
        // The Encoder does not depend on the instruction: a frame gets the newest as late as it can.
        if stage == .denoiser { live[number]?.instructed = instructed }
        guard let frame = live[number] else { return }
        let began = now()
        tasks[stage] = Task {
            let result: Result<Product, any Error>
            do {
                result = .success(try await self.run(stage, number, frame.product, frame.instructed?.conditioning))
            } catch {
                result = .failure(error)
            }
            self.ended(stage, number, result, began)
        }
    }

    private func run(
        _ stage: FrameGate.Stage, _ number: Int, _ product: Product, _ conditioning: Conditioning<Backend.Tensor>?
    ) async throws -> Product {
        switch (stage, product, conditioning) {
        case (.encoder, .frame(let frame), _): return .tensor(try await backend.encode(frame))
        case (.denoiser, .tensor(let image), let conditioning?):
            return .tensor(try await runner.denoise(image, conditioning, try await noise(number)))
        case (.decoder, .tensor(let latents), _): return .frame(try await backend.decode(latents))
        default: preconditionFailure("The \(stage) was given what it cannot take.")
        }
    }

    private func noise(_ number: Int) async throws -> EditRunner<Backend>.Noise {
        if options.freshNoise {
            return try await runner.noise(seed: options.seed, frame: UInt64(clamping: number))
        }
        if let fixedNoise { return fixedNoise }
        let made = try await runner.noise(seed: options.seed, frame: 0)
        fixedNoise = made
        return made
    }

    private func ended(_ stage: FrameGate.Stage, _ number: Int, _ result: Result<Product, any Error>, _ began: Int64) {
        if isStopped { return }
        switch result {
        case .success(let product):
            measured.record(stage, nanoseconds: UInt64(max(0, now() - began)))
            live[number]?.product = product
            perform(gate.finish(stage))
        case .failure(let error):
            report(.failed(FrameFailure(frame: number, stage: stage, cause: error)))
            perform(gate.fail(stage))
        }
    }

    private func deliver(_ number: Int) {
        guard let done = live.removeValue(forKey: number), let instructed = done.instructed,
            case .frame(let frame) = done.product
        else { return }
        measured.recordDelivery(arrival: done.arrival, time: now())
        let edited = EditedFrame(
            number: number, frame: frame, arrival: done.arrival, instruction: instructed.instruction)
        report(.edited(edited))
    }

    private func report(_ outcome: Outcome) {
        unreadOutcomes += 1
        if case .dropped = continuation.yield(outcome) {
            missedOutcomes += 1
            unreadOutcomes -= 1
        }
    }

    private func didReadOutcome() {
        unreadOutcomes -= 1
        wakeForRoom()
    }

    private func stopWhereFinished() {
        if isFinishing && live.isEmpty { stop() }
    }

    private func wake(_ waiter: Int) {
        waiters.removeValue(forKey: waiter)?.resume()
    }

    private func wakeForRoom() {
        if !waiters.isEmpty && hasRoom { wakeAll() }
    }

    private func wakeAll() {
        for waiter in waiters.values { waiter.resume() }
        waiters = [:]
    }
}

/// Latents a frame at most: 64 times those of a 1024x1024 frame in Stable Diffusion's latents.
private let maximumLatents = 64 * 4 * 128 * 128
