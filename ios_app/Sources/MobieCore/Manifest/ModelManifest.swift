/// The whole of `mobie.json`, the contract between converted models and whoever runs them.
///
/// Read one with `ModelManifest(parsing:)` or `ModelFolder.open(_:)`; what comes back has been checked for its form and
/// for agreement with itself.
public struct ModelManifest: Sendable, Equatable {
    /// Version of the file's form that is read here; others are refused.
    public static let schemaVersion = 2
    /// Name of the file in a model folder.
    public static let fileName = "mobie.json"

    /// What the checkpoint was trained to do.
    public let method: EditMethod
    /// Size of frames.
    public let frame: FrameSize
    /// The tensors between components.
    public let latents: LatentsInfo
    /// How noise is made from a seed.
    public let noise: NoiseInfo
    /// The steps that the checkpoint takes unless asked otherwise.
    public let schedule: StepSchedule
    /// The components that the folder has, in the file's order.
    public let components: [ModelComponent]
    /// CLIP's tokenizer.
    public let tokenizer: TokenizerInfo
    /// What parity asks of the model.
    public let gates: ParityGates
    /// Where the model comes from.
    public let provenance: Provenance
    /// Anything that other tools add, by name.
    public let extensions: JSONObject

    /// The component of a name, nil where the folder does not have it.
    public subscript(name: ComponentName) -> ModelComponent? {
        components.first { $0.name == name }
    }

    /// Components that an edit needs and the folder does not have.
    public var missing: [ComponentName] {
        ComponentName.allCases.filter { self[$0] == nil }
    }

    /// Every list of files and the field that it is in.
    var allFiles: [(field: String, files: [FileRecord])] {
        components.map { ("components.\($0.name.rawValue).files", $0.files) } + [("tokenizer.files", tokenizer.files)]
    }
}

/// The five components, in the order in which a host runs them.
public enum ComponentName: String, Sendable, CaseIterable, Codable {
    /// From token ids to text states, once per prompt.
    case textEncoder = "TextEncoder"
    /// From text states, timestep and scales to everything else that does not depend on the frame.
    case conditioner = "Conditioner"
    /// From a frame to its image latents.
    case encoder = "Encoder"
    /// From latents and conditioning to the x0 estimate, once per step and pass.
    case denoiser = "Denoiser"
    /// From latents to the edited frame.
    case decoder = "Decoder"
}

/// What the checkpoint was trained to do.
public struct EditMethod: Sendable, Equatable {
    /// What the network predicts; the Denoiser returns the x0 estimate whatever it is.
    public enum PredictionType: String, Sendable {
        /// The noise.
        case epsilon
        /// The velocity, v.
        case velocity = "v_prediction"
        /// The latents without noise, x0.
        case sample
    }

    /// What the network predicts.
    public let predictionType: PredictionType
    /// What it was trained with.
    public let noiseSchedule: NoiseSchedule
    /// How the scales act.
    public let guidance: Guidance
}

/// beta_i = (sqrt(betaStart) + i / (trainTimesteps - 1) (sqrt(betaEnd) - sqrt(betaStart)))^2.
public struct NoiseSchedule: Sendable, Equatable {
    /// beta_0.
    public let betaStart: Double
    /// The last beta.
    public let betaEnd: Double
    /// Number of timesteps.
    public let trainTimesteps: Int
}

/// How the guidance scales act.
public struct Guidance: Sendable, Equatable {
    /// Where guidance happens.
    public enum Kind: String, Sendable {
        /// The Conditioner takes both scales; one pass a step.
        case embedded
        /// x0 is the weighted sum of the passes' estimates (Brooks et al. 2022, arXiv 2211.09800, equation 3).
        case threePass = "three-pass"
    }

    /// Where guidance happens.
    public let kind: Kind
    /// Range of the text scale s_T.
    public let text: ScaleRange
    /// Range of the image scale s_I.
    public let image: ScaleRange
    /// Passes of every step, in order; their weights sum to 1 at all scales.
    public let passes: [GuidancePass]
}

/// Values of a guidance scale that the checkpoint was made for.
public struct ScaleRange: Sendable, Hashable, Codable {
    /// Smallest.
    public let minimum: Double
    /// Largest.
    public let maximum: Double
    /// What is taken unless asked otherwise.
    public let standard: Double
}

/// One Denoiser run of a step.
public struct GuidancePass: Sendable, Equatable {
    /// With the prompt; otherwise with the empty one.
    public let usesText: Bool
    /// With the frame's latents; otherwise with zeros.
    public let usesImage: Bool
    /// What its estimate counts for.
    public let weight: PassWeight
}

/// constant + text * s_T + image * s_I, for the guidance scales s_T and s_I.
public struct PassWeight: Sendable, Equatable {
    /// Whatever the scales.
    public let constant: Double
    /// Factor of s_T.
    public let text: Double
    /// Factor of s_I.
    public let image: Double

    /// The weight at these scales.
    public func value(textGuidance: Double, imageGuidance: Double) -> Double {
        constant + text * textGuidance + image * imageGuidance
    }
}

/// Size of frames in pixels.
public struct FrameSize: Sendable, Equatable, Hashable, Codable {
    /// In pixels.
    public let width: Int
    /// In pixels.
    public let height: Int

    /// A size in pixels.
    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }
}

/// The tensors between components.
public struct LatentsInfo: Sendable, Equatable {
    /// (1, L, h, w).
    public let shape: [Int]
    /// Pixels that one latent spans along each axis.
    public let pixelsPerLatent: Int
    /// What the Encoder multiplies the autoencoder's own latents by inside its graph: latents have unit variance.
    public let scalingFactor: Double
}

/// How noise is made from a seed; see `DeterministicNoise`.
public struct NoiseInfo: Sendable, Equatable {
    /// Stream of the noise that the first step starts from; fresh noise of step i (from 0) is stream `stream` + 1 + i.
    public let stream: Int
    /// Added to both for every frame after the first where noise is fresh a frame; not where it is fixed.
    public let frameStride: Int
}

/// The steps of an edit and the sampler that they come from.
public struct StepSchedule: Sendable, Equatable {
    /// Where steps come from.
    public enum Sampler: String, Sendable {
        /// Euler's method on the probability-flow equation.
        case euler
        /// Denoising diffusion implicit models.
        case ddim
        /// Multistep consistency sampling, with fresh noise between steps.
        case lcm
    }

    /// Where the steps come from.
    public let sampler: Sampler
    /// In order; timesteps fall.
    public let steps: [ScheduleStep]
}

/// One step: next latents = `estimate` * x0 + `latents` * latents + `noise` * fresh noise.
public struct ScheduleStep: Sendable, Equatable {
    /// What the Conditioner takes for this step.
    public let timestep: Int
    /// Factor of the Denoiser's x0 estimate.
    public let estimate: Double
    /// Factor of the latents that the step starts from.
    public let latents: Double
    /// Factor of fresh noise; 0 where the step takes none.
    public let noise: Double
}

/// A file of the model folder.
public struct FileRecord: Sendable, Equatable {
    /// From the folder, with '/'.
    public let path: String
    /// SHA-256 of its bytes, lower-case hexadecimal.
    public let sha256: String
    /// Size in bytes.
    public let bytes: Int
}

/// CLIP's byte-level BPE tokenizer.
public struct TokenizerInfo: Sendable, Equatable {
    /// Ids of a prompt, start, end and padding included.
    public let positions: Int
    /// Number of ids.
    public let vocabularySize: Int
    /// `vocab.json` and `merges.txt`.
    public let files: [FileRecord]
}

/// Lowest PSNR in dB that passes parity.
public struct ParityGate: Sendable, Equatable {
    /// Of the conversion, palettes aside, in fp32 arithmetic.
    public let fp32: Double
    /// The same in fp16 arithmetic.
    public let fp16: Double
    /// Of the package as it is; nil where no weight has a palette.
    public let palettized: Double?
    /// Why a number is below the default; empty where none is.
    public let reason: String
}

/// Gates of every component, and of the edited frame.
public struct ParityGates: Sendable, Equatable {
    /// Of every component that the folder has.
    public let components: [ComponentName: ParityGate]
    /// Of the edited frame.
    public let edit: ParityGate
}

/// Where a model comes from.
public struct Provenance: Sendable, Equatable {
    /// SHA-256 of the checkpoint.
    public let checkpointSHA256: String
    /// The checkpoint's preset.
    public let preset: String
    /// Licence of the weights.
    public let licence: String
    /// What the checkpoint says about itself, free form.
    public let origin: JSONObject
    /// Name and version of what made the packages.
    public let tools: [String: String]
}
