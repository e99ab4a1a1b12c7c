/// One component of a model folder.
public struct ModelComponent: Sendable, Equatable {
    /// How a component is stored.
    public enum Form: String, Sendable {
        /// A `.mlpackage`, compiled on the device.
        case package
        /// A `.mlmodelc`.
        case compiled

        var suffix: String { self == .package ? ".mlpackage" : ".mlmodelc" }
    }

    /// Core ML's compute units by name.
    public enum ComputeUnits: String, Sendable, Codable, CaseIterable {
        /// Whatever the device has.
        case all
        /// The CPU alone.
        case cpuOnly
        /// CPU and GPU.
        case cpuAndGPU
        /// CPU and Neural Engine.
        case cpuAndNeuralEngine
    }

    /// Floating-point types of graphs.
    public enum Arithmetic: String, Sendable {
        /// Half precision.
        case fp16
        /// Single precision.
        case fp32
    }

    /// How attentions are written.
    public enum Attention: String, Sendable {
        /// The component has none.
        case none = ""
        /// For the GPU.
        case original
        /// For the Neural Engine.
        case splitEinsum = "split-einsum"
        /// For the Neural Engine, with the queries in pieces.
        case splitEinsumV2 = "split-einsum-v2"
    }

    /// Systems, oldest first.
    public enum DeploymentTarget: String, Sendable {
        /// iOS 17 and macOS 14.
        case iOS17
        /// iOS 18 and macOS 15.
        case iOS18
    }

    /// Denoisers of more bits a weight than this, and of more bytes of weights than `macOSOnlyBytes`, are for macOS
    /// alone: Apple asks for at most 6 bits on iOS, or chunks under 1 GB (apple/ml-stable-diffusion, README); half a
    /// bit is left for tables.
    static let macOSOnlyBits = 6.1
    static let macOSOnlyBytes = 1_000_000_000

    /// Which of the five it is.
    public let name: ComponentName
    /// The package (or compiled model) in the folder.
    public let file: String
    /// How it is stored.
    public let form: Form
    /// SHA-256 of one line "digest  path" a file of the package, paths from the package, sorted; of a compiled model
    /// that of the package it was compiled from.
    public let sha256: String
    /// Every file of it.
    public let files: [FileRecord]
    /// In the order of the package.
    public let inputs: [TensorInfo]
    /// In the order of the package.
    public let outputs: [TensorInfo]
    /// Recommended.
    public let computeUnits: ComputeUnits
    /// Type that its graph computes in.
    public let arithmetic: Arithmetic
    /// Form of its attentions.
    public let attention: Attention
    /// Stored bits a weight, on average over all weights, tables included; 16 unless palettized.
    public let weightBits: Double
    /// Size of its weight file in bytes.
    public let weightBytes: Int
    /// Oldest system that loads it.
    public let deploymentTarget: DeploymentTarget
    /// Too large for iOS: apps there must refuse it.
    public let isMacOSOnly: Bool
    /// Digest of everything that the package was made from.
    public let reuseKey: String
    /// How its weights were palettized; nil where they are fp16.
    public let palettes: Palettes?
}

/// How a component's weights were palettized.
public struct Palettes: Sendable, Equatable {
    /// Name of the recipe.
    public let recipe: String
    /// Digest of what the recipe says of this component.
    public let recipeSHA256: String
    /// Weight tensors that have palettes.
    public let tensors: Int
    /// Energy over squared error of each of those tensors in dB, on average over all their weights; nil where there is
    /// no error.
    public let snrDB: Double?
}

/// An input or output of a component.
public struct TensorInfo: Sendable, Equatable {
    /// Types of inputs and outputs.
    public enum ElementType: String, Sendable {
        /// 32-bit integers.
        case int32
        /// Half precision.
        case float16
        /// Single precision.
        case float32
        /// An 8-bit RGB pixel buffer of shape (1, 3, H, W).
        case image
    }

    /// Where a host takes an input from.
    public enum Source: String, Sendable {
        /// Nowhere: it is an output.
        case output = ""
        /// The camera or clip.
        case frame
        /// Noise, then the step's latents.
        case noise
        /// The Conditioner's output of the same name.
        case conditioner
        /// The latents of that name.
        case latents
        /// The tokenizer.
        case prompt
        /// The TextEncoder's output.
        case textEncoder = "text_encoder"
        /// The step's timestep.
        case schedule
        /// The user's scale.
        case guidance
        /// A key frame's tensors.
        case anchor
    }

    /// In the package.
    public let name: String
    /// Fixed.
    public let shape: [Int]
    /// Of its numbers.
    public let elementType: ElementType
    /// Where a host takes it from.
    public let source: Source
    /// What it is, with unit and range.
    public let meaning: String
    /// Smallest sensible value, where there is a bound.
    public let minimum: Double?
    /// Largest sensible value, where there is a bound.
    public let maximum: Double?
}
