/// Edits a stream of frames: the newest frame wins, the encoder, denoiser and decoder each work on a frame at the same
/// time, and a change of instruction takes effect between two frames without a stall.
///
/// Frames come in through `submit`, which never waits; results come out of `outcomes`, in order. An error on a frame is
/// one of the outcomes and does not end the stream. At most `FrameGate.maximumLiveFrames` frames are inside, and one
/// outcome waits for the reader: a slow reader gets the newest.
public actor EditPipeline<Backend: EditBackend> {
    /// A frame that was edited.
    public struct EditedFrame: Sendable {
        /// Its number, as submitted.
        public let number: Int
        /// The result, of the model's size.
        public let frame: Backend.Frame
        /// When it was submitted, in nanoseconds of the pipeline's clock.
        public let arrival: Int64
        /// What was asked for when it started.
        public let instruction: EditInstruction
    }

    /// What became of a frame that ran.
    public enum Outcome: Sendable {
        case edited(EditedFrame)
        case failed(FrameFailure)
    }

    /// How a session works.
    public struct Options: Sendable {
        /// Of the noise.
        public var seed: UInt64 = 0
        /// Fresh noise for every frame instead of one for all; it flickers.
        public var freshNoise = false
        /// See `FrameGate`.
        public var similarityThreshold: Int?
        /// See `FrameGate`.
        public var maximumSkips = 15

        /// The usual values.
        public init() {}
    }

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

    /// Edited frames and failures, in order; ends with `stop()`.
    public nonisolated let outcomes: AsyncStream<Outcome>

    /// Most frames that were inside at once.
    public private(set) var peakLiveFrames = 0

    /// Outcomes that a newer one replaced before they were read.
    public private(set) var missedOutcomes = 0

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
    private var isStopped = false
    private var fixedNoise: EditRunner<Backend>.Noise?
    private var measured = FrameStatistics()

    /// A pipeline without an instruction yet: frames are dropped until the first `change` is done.
    ///
    /// - Parameters:
    ///   - manifest: Of the model that the backend runs.
    ///   - now: A clock in nanoseconds that does not go back.
    /// - Throws: `EditError.incomplete` where the model lacks components, `EditError.tooManyLatents`.
    public init(
        manifest: ModelManifest, tokenizer: CLIPTokenizer, backend: Backend, options: Options = Options(),
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws(EditError) {
        guard manifest.missing.isEmpty else { throw .incomplete(manifest.missing) }
        let count = manifest.latents.shape.reduce(1, *)
        guard count <= maximumLatents else { throw .tooManyLatents(count) }
        (outcomes, continuation) = AsyncStream.makeStream(of: Outcome.self, bufferingPolicy: .bufferingNewest(1))
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

    /// Changes what is asked for. Frames go on with the old instruction meanwhile; those that start after this returns
    /// have the new one, unless a later change was done first.
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
    ///   - number: Numbers grow; a frame that comes after a newer one is dropped.
    ///   - signature: What it looks like, for skipping similar frames.
    public func submit(_ frame: Backend.Frame, number: Int, signature: FrameSignature? = nil) {
        if isStopped { return }
        let time = now()
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

    /// Frames a second at most; nil for as many as come.
    public func limitRate(to framesPerSecond: Double?) {
        gate.limitRate(to: framesPerSecond)
    }

    /// Drops frames that come until `resume`; those that run go on.
    public func pause() {
        perform(gate.pause())
    }

    /// Takes frames again.
    public func resume() {
        gate.resume()
    }

    /// Frees what can be made again: kept conditioning of earlier instructions.
    public func releaseMemory() async {
        await conditioner.clear()
    }

    /// Edits one frame by itself, beside the stream and not counted by it: for warm-up and for clips.
    ///
    /// - Parameter number: Decides the noise where it is fresh for every frame.
    /// - Throws: `EditError.noInstruction`, `EditError.stopped`, what the backend throws, or `CancellationError`.
    public func edit(_ frame: Backend.Frame, number: Int = 0) async throws -> Backend.Frame {
        guard let instructed else { throw isStopped ? EditError.stopped : EditError.noInstruction }
        let image = try await backend.encode(frame)
        try Task.checkCancellation()
        let latents = try await runner.denoise(image, instructed.conditioning, try await noise(number))
        try Task.checkCancellation()
        return try await backend.decode(latents)
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
    }

    /// What the session did so far.
    public var statistics: FrameStatistics.Report { measured.report() }

    /// 95th percentile of the last frames' latencies in nanoseconds, for the `QualityController`.
    public var recentLatency: UInt64? { measured.recentP95 }

    /// Notes the device's state, for the statistics.
    public func observe(_ state: ThermalState, battery: Double? = nil) {
        measured.record(state, battery: battery, time: now())
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
    }

    private func start(_ stage: FrameGate.Stage, _ number: Int) {
        if stage == .encoder { live[number]?.instructed = instructed }
        guard let frame = live[number], let instructed = frame.instructed else { return }
        let began = now()
        tasks[stage] = Task {
            let result: Result<Product, any Error>
            do {
                result = .success(try await self.run(stage, number, frame.product, instructed.conditioning))
            } catch {
                result = .failure(error)
            }
            self.ended(stage, number, result, began)
        }
    }

    private func run(
        _ stage: FrameGate.Stage, _ number: Int, _ product: Product, _ conditioning: Conditioning<Backend.Tensor>
    ) async throws -> Product {
        switch (stage, product) {
        case (.encoder, .frame(let frame)): return .tensor(try await backend.encode(frame))
        case (.denoiser, .tensor(let image)):
            return .tensor(try await runner.denoise(image, conditioning, try await noise(number)))
        case (.decoder, .tensor(let latents)): return .frame(try await backend.decode(latents))
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
        if case .dropped = continuation.yield(outcome) { missedOutcomes += 1 }
    }
}

/// Latents a frame at most: 64 times those of a 1024x1024 frame in Stable Diffusion's latents.
private let maximumLatents = 64 * 4 * 128 * 128
