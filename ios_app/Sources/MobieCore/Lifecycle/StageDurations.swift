import Foundation

/// How long the stages of a model's start took last time, kept in a file of our own: Core ML reports no progress and
/// does not tell whether its caches are warm.
public struct StageDurations: Sendable, Codable, Equatable {
    /// What is shown while a stage runs.
    public struct Progress: Sendable, Equatable {
        /// What runs.
        public let stage: ModelLifecycle.Stage
        /// Seconds since the stage began.
        public let elapsed: Double
        /// Seconds it took last time with the same model; nil the first time.
        public let last: Double?

        /// Elapsed part of the last duration, up to 1; nil the first time.
        public var fraction: Double? {
            last.map { $0 > 0 ? min(1, elapsed / $0) : 1 }
        }
    }

    private var seconds: [String: Double] = [:]

    /// Nothing is known yet.
    public init() {}

    /// The record in a file; an empty one where it is missing or damaged.
    public init(contentsOf file: URL) {
        let read = (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(StageDurations.self, from: $0) }
        self = read ?? StageDurations()
    }

    /// Writes the record; the file appears whole or not at all.
    public func write(to file: URL) throws {
        try JSONEncoder().encode(self).write(to: file, options: .atomic)
    }

    /// Whether a stage of a model was done before, so that caches are expected to be warm.
    public func isExpectedCached(_ stage: ModelLifecycle.Stage, model: String) -> Bool {
        seconds[key(stage, model)] != nil
    }

    /// What to show after `elapsed` seconds of a stage of a model, which is named by its digest.
    public func progress(_ stage: ModelLifecycle.Stage, model: String, elapsed: Double) -> Progress {
        Progress(stage: stage, elapsed: elapsed, last: seconds[key(stage, model)])
    }

    /// A stage of a model took so many seconds.
    public mutating func record(_ stage: ModelLifecycle.Stage, model: String, seconds elapsed: Double) {
        if elapsed.isFinite { seconds[key(stage, model)] = elapsed }
    }

    private func key(_ stage: ModelLifecycle.Stage, _ model: String) -> String {
        "\(stage.rawValue) \(model)"
    }
}
