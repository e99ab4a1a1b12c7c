// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/coreml/mlcpucomputedevice
@available(iOS 17.0, macOS 14.0, *)
public class MLCPUComputeDevice: NSObject {
}

/// https://developer.apple.com/documentation/coreml/mlgpucomputedevice
@available(iOS 17.0, macOS 14.0, *)
public class MLGPUComputeDevice: NSObject {
}

/// https://developer.apple.com/documentation/coreml/mlneuralenginecomputedevice
@available(iOS 17.0, macOS 14.0, *)
public class MLNeuralEngineComputeDevice: NSObject {
}

/// https://developer.apple.com/documentation/coreml/mlcomputedevice
@available(iOS 17.0, macOS 14.0, *)
public enum MLComputeDevice: @unchecked Sendable {
    /// https://developer.apple.com/documentation/coreml/mlcomputedevice/cpu(_:)
    @available(iOS 17.0, macOS 14.0, *)
    case cpu(MLCPUComputeDevice)
    /// https://developer.apple.com/documentation/coreml/mlcomputedevice/gpu(_:)
    @available(iOS 17.0, macOS 14.0, *)
    case gpu(MLGPUComputeDevice)
    /// https://developer.apple.com/documentation/coreml/mlcomputedevice/neuralengine(_:)
    @available(iOS 17.0, macOS 14.0, *)
    case neuralEngine(MLNeuralEngineComputeDevice)
}

/// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n
@available(iOS 17.4, macOS 14.4, *)
public class MLComputePlan {
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/load(contentsof:configuration:)
    @available(iOS 17.4, macOS 14.4, *)
    public static func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLComputePlan { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/modelstructure
    @available(iOS 17.4, macOS 14.4, *)
    public final let modelStructure: MLModelStructure
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/deviceusage(for:)-7cdlm
    @available(iOS 17.4, macOS 14.4, *)
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/estimatedcost(of:)
    @available(iOS 17.4, macOS 14.4, *)
    public func estimatedCost(of operation: MLModelStructure.Program.Operation) -> Cost? { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/deviceusage
    @available(iOS 17.4, macOS 14.4, *)
    public struct DeviceUsage: Sendable {
        /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/deviceusage/preferred
        @available(iOS 17.4, macOS 14.4, *)
        public let preferred: MLComputeDevice
        /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/deviceusage/supported
        @available(iOS 17.4, macOS 14.4, *)
        public let supported: [MLComputeDevice]
    }
    /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/cost
    @available(iOS 17.4, macOS 14.4, *)
    public struct Cost: Sendable {
        /// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/cost/weight
        @available(iOS 17.4, macOS 14.4, *)
        public let weight: Double
    }
    init() { fatalError() }
}

/// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum
@available(iOS 17.4, macOS 14.4, *)
public enum MLModelStructure: Sendable {
    /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program(_:)
    @available(iOS 17.4, macOS 14.4, *)
    case program(MLModelStructure.Program)
    /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/unsupported
    @available(iOS 17.4, macOS 14.4, *)
    case unsupported
    /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program
    @available(iOS 17.4, macOS 14.4, *)
    public struct Program: Sendable {
        /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/functions
        @available(iOS 17.4, macOS 14.4, *)
        public let functions: [String: Function]

        /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/function
        @available(iOS 17.4, macOS 14.4, *)
        public struct Function: Sendable {
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/function/block
            @available(iOS 17.4, macOS 14.4, *)
            public let block: Block
        }

        /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/block
        @available(iOS 17.4, macOS 14.4, *)
        public struct Block: Sendable {
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/block/operations
            @available(iOS 17.4, macOS 14.4, *)
            public let operations: [Operation]
        }

        /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/operation
        @available(iOS 17.4, macOS 14.4, *)
        public struct Operation: Sendable {
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/operation/operatorname
            @available(iOS 17.4, macOS 14.4, *)
            public let operatorName: String
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/operation/outputs
            @available(iOS 17.4, macOS 14.4, *)
            public let outputs: [NamedValueType]
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/operation/blocks
            @available(iOS 17.4, macOS 14.4, *)
            public let blocks: [Block]
        }

        /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/namedvaluetype
        @available(iOS 17.4, macOS 14.4, *)
        public struct NamedValueType: Sendable {
            /// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum/program/namedvaluetype/name
            @available(iOS 17.4, macOS 14.4, *)
            public let name: String
        }
    }
}
