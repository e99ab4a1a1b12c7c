import Foundation

/// A file that is there while a model is warmed up. A failed Neural Engine compilation can kill the process at the
/// first prediction; found at the next launch, the file says that this happened, and with which compute units.
public struct CrashMarker: Sendable {
    /// What was being tried.
    public struct Attempt: Sendable, Codable, Equatable {
        /// Digest of the model.
        public let model: String
        /// The compute units.
        public let computeUnits: ModelComponent.ComputeUnits

        /// An attempt.
        public init(model: String, computeUnits: ModelComponent.ComputeUnits) {
            (self.model, self.computeUnits) = (model, computeUnits)
        }
    }

    /// How to start a model, and why not as recommended.
    public struct LaunchPlan: Sendable, Equatable {
        /// The compute units.
        public let computeUnits: ModelComponent.ComputeUnits
        /// For people; nil where the recommendation is followed.
        public let explanation: String?
    }

    private let file: URL

    /// A marker at a file's place, in a folder that exists.
    public init(file: URL) {
        self.file = file
    }

    /// Writes the marker; must be done before the first inference.
    public func write(_ attempt: Attempt) throws {
        try JSONEncoder().encode(attempt).write(to: file, options: .atomic)
    }

    /// Removes the marker; nothing where there is none.
    public func remove() throws {
        if FileManager.default.fileExists(atPath: file.path) { try FileManager.default.removeItem(at: file) }
    }

    /// The attempt that did not end, nil where there is none or the file does not say.
    public func unfinishedAttempt() -> Attempt? {
        (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(Attempt.self, from: $0) }
    }

    /// How to start a model: as recommended, or on fewer compute units than those it did not survive last time.
    ///
    /// Only the last start is known. Keep the compute units of a plan that has an explanation, and recommend them from
    /// then on: those of the manifest would end the process again.
    ///
    /// - Throws: `ModelFailure` where it did not survive the CPU alone.
    public func plan(
        model: String, recommended: ModelComponent.ComputeUnits
    ) throws(ModelFailure) -> LaunchPlan {
        guard let attempt = unfinishedAttempt(), attempt.model == model else {
            return LaunchPlan(computeUnits: recommended, explanation: nil)
        }
        let next: ModelComponent.ComputeUnits
        switch attempt.computeUnits {
        case .all, .cpuAndNeuralEngine: next = .cpuAndGPU
        case .cpuAndGPU: next = .cpuOnly
        case .cpuOnly:
            throw ModelFailure(.crashed, "The app ended while this model was started on the CPU alone.")
        }
        let explanation =
            "The app ended while this model was started with \(attempt.computeUnits.rawValue); "
            + "it now starts with \(next.rawValue)."
        return LaunchPlan(computeUnits: next, explanation: explanation)
    }
}
