/// A device's heat, as Foundation's `ProcessInfo.ThermalState` names it.
public enum ThermalState: String, Sendable, Codable, CaseIterable, Comparable {
    /// Within normal limits.
    case nominal
    /// Slightly elevated.
    case fair
    /// High.
    case serious
    /// The device must cool down.
    case critical

    public static func < (left: ThermalState, right: ThermalState) -> Bool {
        left.rank < right.rank
    }

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// The camera's system pressure, as AVFoundation names it.
public enum PressureLevel: String, Sendable, Codable, CaseIterable {
    /// Within normal limits.
    case nominal
    /// Slightly elevated.
    case fair
    /// Highly elevated.
    case serious
    /// Critically elevated.
    case critical
    /// The system takes the camera away.
    case shutdown

    /// The thermal state that asks for as much.
    var asThermal: ThermalState {
        switch self {
        case .nominal: .nominal
        case .fair: .fair
        case .serious: .serious
        case .critical, .shutdown: .critical
        }
    }
}

/// What is observed at a time.
public struct QualitySample: Sendable, Codable, Equatable {
    /// Seconds of any clock that does not go back.
    public var time: Double
    /// The device's heat.
    public var thermal: ThermalState
    /// The camera's system pressure; nominal without a camera.
    public var pressure: PressureLevel
    /// From 0 to 1; nil where it is not known or the device is being charged.
    public var battery: Double?
    /// Whether the user saves power.
    public var isLowPowerMode: Bool
    /// 95th percentile of the last frames' latencies in seconds; nil before the first.
    public var latency: Double?

    /// The worse of the device's and the camera's state.
    var heat: ThermalState { max(thermal, pressure.asThermal) }

    /// An observation; what is left out is unremarkable.
    public init(
        time: Double, thermal: ThermalState = .nominal, pressure: PressureLevel = .nominal, battery: Double? = nil,
        isLowPowerMode: Bool = false, latency: Double? = nil
    ) {
        (self.time, self.thermal, self.pressure) = (time, thermal, pressure)
        (self.battery, self.isLowPowerMode, self.latency) = (battery, isLowPowerMode, latency)
    }
}

/// How much a session does.
public struct QualityLevel: Sendable, Codable, Equatable {
    /// Frames a second at most; nil for as many as come.
    public var frameRateCap: Double?
    /// See `FrameGate.similarityThreshold`.
    public var similarityThreshold: Int?
    /// Name of the model (resolution or size) that runs.
    public var variant: String
    /// Latency in seconds that a frame may take here.
    public var latencyBudget: Double

    /// A level.
    public init(frameRateCap: Double?, similarityThreshold: Int?, variant: String, latencyBudget: Double) {
        (self.frameRateCap, self.similarityThreshold) = (frameRateCap, similarityThreshold)
        (self.variant, self.latencyBudget) = (variant, latencyBudget)
    }
}

/// Chooses the level before the system throttles: a pure function of what was observed, replayable from a log.
///
/// Heat, pressure and power set a floor at once: serious asks for the middle of the levels, critical for the last, a
/// low battery or low-power mode for the second. Latency moves one level at a time: down after it was above the
/// level's budget for `slowSeconds`, up after everything was calm for `calmSeconds`. Where a step up had to be taken
/// back soon, the next one waits twice as long, up to `maximumPatience` times `calmSeconds`.
public struct QualityController: Sendable, Equatable {
    /// When to act.
    public struct Policy: Sendable, Codable, Equatable {
        /// Seconds above the budget before a step down.
        public var slowSeconds = 1.0
        /// Seconds of calm before a step up.
        public var calmSeconds = 10.0
        /// Part of the budget below which latency counts as calm.
        public var headroom = 0.7
        /// Battery below which the second level is the best.
        public var lowBattery = 0.2
        /// Longest wait before a step up, in times of `calmSeconds`.
        public var maximumPatience = 8.0

        /// The usual values.
        public init() {}
    }

    /// Why the level is what it is.
    public enum Reason: String, Sendable, Codable {
        /// Nothing was observed yet.
        case start
        /// Lowered for the device's heat.
        case heat
        /// Lowered for the camera's system pressure.
        case pressure
        /// Lowered to save power.
        case power
        /// Lowered because frames took too long.
        case slow
        /// Raised after calm.
        case recovered
        /// The level stayed.
        case unchanged
    }

    /// Everything that the next decision depends on.
    public struct State: Sendable, Codable, Equatable {
        /// Index into the levels; 0 is the best.
        public internal(set) var level = 0
        /// Why the last decision was what it was.
        public internal(set) var reason = Reason.start
        var slowSince: Double?
        var calmSince: Double?
        var raisedAt: Double?
        var patience = 1.0

        /// The best level, nothing observed yet.
        public init() {}
    }

    /// Best first; never empty.
    public let levels: [QualityLevel]
    /// When to act.
    public let policy: Policy

    /// A controller; nil without levels.
    public init?(levels: [QualityLevel], policy: Policy = Policy()) {
        guard !levels.isEmpty else { return nil }
        (self.levels, self.policy) = (levels, policy)
    }

    /// The level of a state.
    public func level(_ state: State) -> QualityLevel {
        levels[min(max(state.level, 0), levels.count - 1)]
    }

    /// The state after an observation.
    public func next(_ state: State, _ sample: QualitySample) -> State {
        var next = state
        next.reason = .unchanged
        let (floor, cause) = floor(sample)
        if floor > next.level {
            return lowered(next, to: floor, cause, sample.time)
        }
        let budget = level(next).latencyBudget
        let isSlow = sample.latency.map { $0 > budget } ?? false
        let isCalm = sample.heat == .nominal && (sample.latency.map { $0 < budget * policy.headroom } ?? true)
        next.slowSince = isSlow ? next.slowSince ?? sample.time : nil
        next.calmSince = isCalm ? next.calmSince ?? sample.time : nil
        if let since = next.slowSince, sample.time - since >= policy.slowSeconds, next.level < levels.count - 1 {
            return lowered(next, to: next.level + 1, .slow, sample.time)
        }
        let wait = policy.calmSeconds * next.patience
        if let since = next.calmSince, sample.time - since >= wait, next.level > floor {
            next.level -= 1
            next.reason = .recovered
            next.raisedAt = sample.time
            next.slowSince = nil
            next.calmSince = nil
        }
        return next
    }

    /// The states after each of many observations, from the first one.
    public func replay(_ samples: [QualitySample]) -> [State] {
        var state = State()
        return samples.map { sample in
            state = next(state, sample)
            return state
        }
    }

    private func lowered(_ state: State, to level: Int, _ reason: Reason, _ time: Double) -> State {
        var next = state
        if let raised = next.raisedAt, time - raised < policy.calmSeconds * next.patience {
            next.patience = min(next.patience * 2, policy.maximumPatience)
        } else {
            next.patience = 1
        }
        next.level = level
        next.reason = reason
        next.raisedAt = nil
        next.slowSince = nil
        next.calmSince = nil
        return next
    }

    /// The best level that heat, pressure and power allow.
    private func floor(_ sample: QualitySample) -> (Int, Reason) {
        let last = levels.count - 1
        let cause: Reason = sample.thermal == sample.heat ? .heat : .pressure
        switch sample.heat {
        case .critical: return (last, cause)
        case .serious: return ((last + 1) / 2, cause)
        case .nominal, .fair:
            let isLow = sample.isLowPowerMode || (sample.battery.map { $0 < policy.lowBattery } ?? false)
            return isLow ? (min(1, last), .power) : (0, cause)
        }
    }
}
