/// Which frame runs where: the newest frame wins, every stage has one frame in flight, nothing queues up.
///
/// A value without clock, tasks or frames: it is told what happened and answers what to do, so that it can be replayed
/// from a log. At most `maximumLiveFrames` frames are inside at any time: one waits at the entrance, and each stage
/// holds one, running or finished and waiting for the next stage.
///
/// A frame that arrives while another waits replaces it. When the first stage becomes free the waiting frame runs,
/// unless it is similar to the last one that ran: then it is skipped, at most `maximumSkips` times in a row.
public struct FrameGate: Sendable {
    /// Stages in the order in which a frame passes them.
    public enum Stage: Int, Sendable, CaseIterable, Codable {
        /// From the frame to its image latents.
        case encoder
        /// From image latents to edited latents, all steps and passes.
        case denoiser
        /// From edited latents to the edited frame.
        case decoder
    }

    /// Why a frame gives no result.
    public enum DropReason: String, Sendable, CaseIterable, Codable {
        /// A newer one came while it waited.
        case replaced
        /// It looks like the last one that ran.
        case similar
        /// It came after a newer one.
        case outOfOrder
        /// It came sooner than the frame rate allows.
        case rateLimited
        /// The gate was paused.
        case paused
        /// A stage failed on it.
        case failed
    }

    /// What the host has to do.
    public enum Action: Sendable, Equatable {
        /// Run a stage on a frame.
        case run(Stage, frame: Int)
        /// The frame has its result.
        case deliver(frame: Int)
        /// Forget the frame.
        case drop(frame: Int, DropReason)
    }

    /// Frames inside at most.
    public static let maximumLiveFrames = Stage.allCases.count + 1

    private struct Arrival: Sendable {
        let frame: Int
        let signature: FrameSignature?
    }

    private struct Occupant: Sendable {
        let frame: Int
        var isFinished = false
    }

    /// Largest difference of block means (0 to 255) at which frames count as similar; nil never skips.
    public var similarityThreshold: Int?
    /// Similar frames skipped in a row at most.
    public var maximumSkips: Int
    /// Whether arriving frames are dropped.
    public private(set) var isPaused = false
    /// Number of frames dropped, by reason.
    public private(set) var drops: [DropReason: Int] = [:]

    private var rate: RateLimit?
    private var waiting: Arrival?
    private var stages: [Stage: Occupant] = [:]
    private var newest = Int.min
    private var lastSignature: FrameSignature?
    private var skips = 0

    /// An empty gate.
    public init(similarityThreshold: Int? = nil, maximumSkips: Int = 15) {
        self.similarityThreshold = similarityThreshold
        self.maximumSkips = maximumSkips
    }

    /// Frames inside.
    public var liveFrames: [Int] {
        stages.values.map(\.frame) + (waiting.map { [$0.frame] } ?? [])
    }

    /// Whether a frame that arrives replaces none.
    public var isEntranceFree: Bool { waiting == nil }

    /// Stages that are at work.
    public var runningStages: Int { stages.values.count { !$0.isFinished } }

    /// A frame came.
    ///
    /// - Parameters:
    ///   - frame: Its number; numbers grow.
    ///   - time: When it was taken, in nanoseconds.
    ///   - signature: What it looks like; nil is similar to nothing.
    public mutating func arrive(frame: Int, time: Int64, signature: FrameSignature? = nil) -> [Action] {
        if isPaused { return [drop(frame, .paused)] }
        if frame <= newest { return [drop(frame, .outOfOrder)] }
        newest = frame
        if rate?.takes(time) == false { return [drop(frame, .rateLimited)] }
        var actions: [Action] = []
        if let old = waiting { actions.append(drop(old.frame, .replaced)) }
        waiting = Arrival(frame: frame, signature: signature)
        return actions + advance()
    }

    /// A stage ended on its frame; nothing where it had none in flight.
    public mutating func finish(_ stage: Stage) -> [Action] {
        guard let occupant = stages[stage], !occupant.isFinished else { return [] }
        if stage == Stage.allCases.last {
            stages[stage] = nil
            return [.deliver(frame: occupant.frame)] + advance()
        }
        stages[stage]?.isFinished = true
        return advance()
    }

    /// A stage failed on its frame, which is lost; nothing where it had none in flight.
    public mutating func fail(_ stage: Stage) -> [Action] {
        guard let occupant = stages[stage], !occupant.isFinished else { return [] }
        stages[stage] = nil
        // The skipped frames that come stood for its result.
        lastSignature = nil
        return [drop(occupant.frame, .failed)] + advance()
    }

    /// The next frame runs, however similar: the prompt or something else that decides the result changed.
    public mutating func invalidate() {
        lastSignature = nil
    }

    /// Frames a second at most; nil, or a rate that is not positive, for as many as come.
    public mutating func limitRate(to framesPerSecond: Double?) {
        guard let framesPerSecond, framesPerSecond > 0 else {
            rate = nil
            return
        }
        let interval = Int64(1e9 / min(max(framesPerSecond, 1e-3), 1e6))
        if rate?.interval != interval { rate = RateLimit(interval: interval) }
    }

    /// Frames that come are dropped until `resume`; those that run go on.
    public mutating func pause() -> [Action] {
        isPaused = true
        guard let old = waiting else { return [] }
        waiting = nil
        return [drop(old.frame, .paused)]
    }

    /// Ends a pause.
    public mutating func resume() {
        isPaused = false
        lastSignature = nil
    }

    private mutating func drop(_ frame: Int, _ reason: DropReason) -> Action {
        drops[reason, default: 0] += 1
        return .drop(frame: frame, reason)
    }

    /// Moves frames on, the furthest first.
    private mutating func advance() -> [Action] {
        var actions: [Action] = []
        for (before, stage) in zip(Stage.allCases, Stage.allCases.dropFirst()).reversed() {
            if stages[stage] == nil, let occupant = stages[before], occupant.isFinished {
                stages[before] = nil
                stages[stage] = Occupant(frame: occupant.frame)
                actions.append(.run(stage, frame: occupant.frame))
            }
        }
        if stages[.encoder] == nil, let arrival = waiting {
            waiting = nil
            actions.append(start(arrival))
        }
        return actions
    }

    private mutating func start(_ arrival: Arrival) -> Action {
        if isSimilar(arrival), skips < maximumSkips {
            skips += 1
            return drop(arrival.frame, .similar)
        }
        skips = 0
        lastSignature = arrival.signature
        stages[.encoder] = Occupant(frame: arrival.frame)
        return .run(.encoder, frame: arrival.frame)
    }

    private func isSimilar(_ arrival: Arrival) -> Bool {
        guard let threshold = similarityThreshold, let last = lastSignature, let signature = arrival.signature else {
            return false
        }
        return signature.difference(to: last) <= threshold
    }
}

/// Takes frames so that their rate stays below a limit on average, whatever the jitter of their times.
private struct RateLimit: Sendable {
    /// Nanoseconds between frames.
    let interval: Int64
    private var due: Int64?

    init(interval: Int64) {
        self.interval = interval
    }

    mutating func takes(_ time: Int64) -> Bool {
        guard let expected = due else {
            due = time &+ interval
            return true
        }
        // A frame may come a quarter of an interval early; what it gained is missing from the next interval.
        if time &+ interval / 4 < expected { return false }
        due = time &- expected > interval ? time &+ interval : expected &+ interval
        return true
    }
}
