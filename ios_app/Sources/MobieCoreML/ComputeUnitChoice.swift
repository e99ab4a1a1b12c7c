import Foundation
import MobieCore

/// Which compute units components run on: the manifest's recommendation, unless something else is asked for.
public struct ComputeUnitChoice: Sendable, Equatable {
    /// For every component that has no choice of its own; nil follows the manifest.
    public var standard: ModelComponent.ComputeUnits?
    /// For single components.
    public var components: [ComponentName: ModelComponent.ComputeUnits]

    /// A choice; what is left out follows the manifest.
    public init(
        _ standard: ModelComponent.ComputeUnits? = nil,
        components: [ComponentName: ModelComponent.ComputeUnits] = [:]
    ) {
        (self.standard, self.components) = (standard, components)
    }

    /// What every component of a model runs on.
    ///
    /// - Parameter ceiling: Units that the model did survive; nil where no start of it ever failed.
    func units(
        of manifest: ModelManifest, ceiling: ModelComponent.ComputeUnits? = nil
    ) -> [ComponentName: ModelComponent.ComputeUnits] {
        let chosen = manifest.components.map { component in
            let wanted = components[component.name] ?? standard ?? component.computeUnits
            return (component.name, ceiling.map(wanted.limited) ?? wanted)
        }
        return Dictionary(uniqueKeysWithValues: chosen)
    }
}

extension ModelComponent.ComputeUnits {
    private var usesNeuralEngine: Bool { self == .all || self == .cpuAndNeuralEngine }
    private var usesGPU: Bool { self == .all || self == .cpuAndGPU }

    /// These units within others: what is not allowed gives way to what is, and the CPU is always there.
    func limited(to ceiling: Self) -> Self {
        switch ceiling {
        case .all: self
        case .cpuOnly: .cpuOnly
        case .cpuAndGPU: usesNeuralEngine ? .cpuAndGPU : self
        case .cpuAndNeuralEngine: usesGPU ? .cpuAndNeuralEngine : self
        }
    }

    /// The units that contain all of these.
    static func union(_ units: some Sequence<Self>) -> Self {
        units.reduce(.cpuOnly) { sum, next in
            switch (sum.usesGPU || next.usesGPU, sum.usesNeuralEngine || next.usesNeuralEngine) {
            case (true, true): .all
            case (true, false): .cpuAndGPU
            case (false, true): .cpuAndNeuralEngine
            case (false, false): .cpuOnly
            }
        }
    }
}

/// Which compute units models did not survive, kept in a file: a model that ended the process once is not started the
/// same way again until the system changes.
struct ComputeUnitMemory: Codable, Equatable {
    private struct Entry: Codable, Equatable {
        let system: SystemIdentity
        let ceiling: ModelComponent.ComputeUnits
    }

    private var entries: [String: Entry] = [:]

    /// Nothing is known yet.
    init() {}

    /// The record in a file; an empty one where it is missing or damaged.
    init(contentsOf file: URL) {
        let read = (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(Self.self, from: $0) }
        self = read ?? Self()
    }

    /// Writes the record; the file appears whole or not at all.
    func write(to file: URL) throws {
        try JSONEncoder().encode(self).write(to: file, options: .atomic)
    }

    /// The most that a model may use on this system; nil where nothing is known.
    func ceiling(model: String, system: SystemIdentity) -> ModelComponent.ComputeUnits? {
        entries[model].flatMap { $0.system == system ? $0.ceiling : nil }
    }

    mutating func remember(model: String, system: SystemIdentity, ceiling: ModelComponent.ComputeUnits) {
        entries[model] = Entry(system: system, ceiling: ceiling)
    }

    mutating func forget(model: String) {
        entries[model] = nil
    }
}
