import MobieCore
import MobieCoreML

/// What became of a clip that Core ML edited, as JSON for machines.
public struct ClipReport: Sendable, Codable, Equatable {
    /// What was asked for, with the scales that were taken.
    public let instruction: EditInstruction
    /// Frames in the edited clip.
    public let frames: Int
    /// Size of its frames.
    public let frameSize: FrameSize
    /// Digest of the model's manifest.
    public let model: String
    /// What it ran on.
    public let system: SystemIdentity
    /// Compute units that every component was allowed to use.
    public let computeUnits: [String: ModelComponent.ComputeUnits]
    /// Seconds of every stage of the model's start.
    public let start: [String: Double]
    /// Whether every package was compiled for this system before.
    public let wasCompiled: Bool
    /// Latencies and counts of the pipeline.
    public let statistics: FrameStatistics.Report
    /// Where Core ML plans to run the model's operations; null in the JSON where it does not say.
    public let computePlan: ComputePlanReport?
    /// Why there is no compute plan; null in the JSON where there is one.
    public let noComputePlan: String?
    /// Why the model does not run as recommended; null in the JSON where it does.
    public let explanation: String?

    /// A report by its parts.
    init(
        instruction: EditInstruction, frames: Int, frameSize: FrameSize, model: String, system: SystemIdentity,
        computeUnits: [ComponentName: ModelComponent.ComputeUnits], start: [ModelLifecycle.Stage: Double],
        wasCompiled: Bool, statistics: FrameStatistics.Report, computePlan: ComputePlanReport?,
        noComputePlan: String?, explanation: String?
    ) {
        (self.instruction, self.frames, self.frameSize) = (instruction, frames, frameSize)
        (self.model, self.system, self.wasCompiled) = (model, system, wasCompiled)
        self.computeUnits = Dictionary(uniqueKeysWithValues: computeUnits.map { ($0.key.rawValue, $0.value) })
        self.start = Dictionary(uniqueKeysWithValues: start.map { ($0.key.rawValue, $0.value) })
        (self.statistics, self.computePlan) = (statistics, computePlan)
        (self.noComputePlan, self.explanation) = (noComputePlan, explanation)
    }

    /// Writes every field; what is not known is null and not left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(instruction, forKey: .instruction)
        try container.encode(frames, forKey: .frames)
        try container.encode(frameSize, forKey: .frameSize)
        try container.encode(model, forKey: .model)
        try container.encode(system, forKey: .system)
        try container.encode(computeUnits, forKey: .computeUnits)
        try container.encode(start, forKey: .start)
        try container.encode(wasCompiled, forKey: .wasCompiled)
        try container.encode(statistics, forKey: .statistics)
        try container.encode(computePlan, forKey: .computePlan)
        try container.encode(noComputePlan, forKey: .noComputePlan)
        try container.encode(explanation, forKey: .explanation)
    }
}
