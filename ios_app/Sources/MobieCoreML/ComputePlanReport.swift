import MobieCore

/// Where Core ML plans to run the operations of a model, before anything ran.
public struct ComputePlanReport: Sendable, Codable, Equatable {
    /// Devices that Core ML names.
    public enum Device: String, Sendable, Codable, CaseIterable {
        /// The processor.
        case cpu
        /// The graphics processor.
        case gpu
        /// The Neural Engine.
        case neuralEngine
        /// One that is newer than this library.
        case other
    }

    /// One operation of a component.
    public struct Operation: Sendable, Codable, Equatable {
        /// Its kind, such as `ios17.conv`.
        public let kind: String
        /// Its first output.
        public let output: String
        /// Where it is to run.
        public let preferred: Device
        /// Where it could run.
        public let supported: [Device]
        /// Its share of the component's cost, 0 to 1; nil where Core ML does not say.
        public let cost: Double?

        /// An operation.
        public init(kind: String, output: String, preferred: Device, supported: [Device], cost: Double?) {
            (self.kind, self.output, self.preferred) = (kind, output, preferred)
            (self.supported, self.cost) = (supported, cost)
        }
    }

    /// What is planned for one component.
    public struct Component: Sendable, Codable, Equatable {
        /// Which one.
        public let name: ComponentName
        /// What it was allowed to use.
        public let computeUnits: ModelComponent.ComputeUnits
        /// Operations by the device that they are to run on.
        public let counts: [String: Int]
        /// Cost by device, 0 to 1 each.
        public let costs: [String: Double]
        /// Operations that leave the device which has most of the cost, the most costly first.
        public let elsewhere: [Operation]

        /// Sums up operations; those without a device, such as constants, do not belong in the list.
        public init(
            _ name: ComponentName, computeUnits: ModelComponent.ComputeUnits, operations: [Operation]
        ) {
            (self.name, self.computeUnits) = (name, computeUnits)
            var counts: [Device: Int] = [:]
            var costs: [Device: Double] = [:]
            for operation in operations {
                counts[operation.preferred, default: 0] += 1
                costs[operation.preferred, default: 0] += operation.cost ?? 0
            }
            let main = Device.allCases.max { left, right in
                (costs[left] ?? 0, counts[left] ?? 0) < (costs[right] ?? 0, counts[right] ?? 0)
            }
            self.counts = Dictionary(uniqueKeysWithValues: counts.map { ($0.key.rawValue, $0.value) })
            self.costs = Dictionary(uniqueKeysWithValues: costs.map { ($0.key.rawValue, $0.value) })
            elsewhere = operations.filter { $0.preferred != main }.sorted { left, right in
                (left.cost ?? 0, right.output) > (right.cost ?? 0, left.output)
            }
        }
    }

    /// In the manifest's order.
    public let components: [Component]

    /// A report of components.
    public init(components: [Component]) {
        self.components = components
    }
}
