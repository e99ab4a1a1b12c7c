#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobieCore
    import MobiePixels

    /// A value that goes into a component or comes out of it.
    enum Feature: Sendable {
        case tensor(CoreMLTensor)
        case frame(PixelFrame)

        var value: MLFeatureValue {
            switch self {
            case .tensor(let tensor): MLFeatureValue(multiArray: tensor.array)
            case .frame(let frame): MLFeatureValue(pixelBuffer: frame.buffer)
            }
        }
    }

    /// Where a component's outputs are to be written.
    struct OutputPlan: Sendable {
        enum Place: Sendable {
            case tensor(TensorPool)
            case frame(PixelBufferPool)
            /// Core ML finds memory itself.
            case anywhere
        }

        let places: [String: Place]

        /// Shared memory for half-precision tensors and frames.
        ///
        /// - Throws: `PixelError`, `ModelFailure`.
        init(_ component: ModelComponent, frame: FrameSize) throws {
            var places: [String: Place] = [:]
            for output in component.outputs {
                switch output.elementType {
                case .float16: places[output.name] = .tensor(try TensorPool(shape: output.shape))
                case .image: places[output.name] = .frame(try PixelBufferPool(frames: frame))
                case .float32, .int32: places[output.name] = .anywhere
                }
            }
            self.places = places
        }
    }

    /// What a component gave.
    struct Prediction: Sendable {
        let outputs: [String: Feature]
        /// Outputs that were to be written to our memory, and were.
        let usedBackings: Int
        /// Outputs that Core ML put elsewhere all the same.
        let ignoredBackings: Int
    }

    /// A loaded model, together with the compiled model that it was loaded from.
    // Sound although MLModel is not Sendable: Apple offers `prediction(from:options:) async` for several predictions at
    // once (WWDC 2023, session 10049), and nothing else of the model is touched once it is here.
    struct LoadedModel: @unchecked Sendable {
        private let model: MLModel
        private let compiled: CompiledModel

        /// Loads a compiled model.
        ///
        /// - Parameter function: Of a package of several functions; nil takes its default.
        /// - Throws: `ModelFailure` where the system is too old for functions, and what Core ML throws.
        init(
            _ compiled: CompiledModel, computeUnits: ModelComponent.ComputeUnits, function: String?
        ) async throws {
            let configuration = try Self.configuration(computeUnits, function: function)
            model = try await MLModel.load(contentsOf: compiled.url, configuration: configuration)
            self.compiled = compiled
        }

        /// Runs the model once.
        ///
        /// - Throws: What Core ML and pools throw, or `ModelFailure` where an output is missing or of another type.
        func predict(_ inputs: [String: Feature], _ plan: OutputPlan) async throws -> Prediction {
            let provider = try MLDictionaryFeatureProvider(dictionary: inputs.mapValues(\.value))
            var backings: [String: Any] = [:]
            for (name, place) in plan.places {
                switch place {
                case .tensor(let pool): backings[name] = try pool.array()
                case .frame(let pool): backings[name] = try pool.make()
                case .anywhere: break
                }
            }
            let options = MLPredictionOptions()
            options.outputBackings = backings
            let made = try await model.prediction(from: provider, options: options)
            var outputs: [String: Feature] = [:]
            var used = 0
            for (name, place) in plan.places {
                guard let value = made.featureValue(for: name) else { throw Self.missing(name) }
                switch place {
                case .tensor, .anywhere:
                    guard let array = value.multiArrayValue else { throw Self.missing(name) }
                    if let backing = backings[name], backing as AnyObject === array { used += 1 }
                    outputs[name] = .tensor(CoreMLTensor(filled: array))
                case .frame:
                    guard let buffer = value.imageBufferValue else { throw Self.missing(name) }
                    if let backing = backings[name], backing as AnyObject === buffer { used += 1 }
                    outputs[name] = .frame(try PixelFrame(filled: buffer))
                }
            }
            return Prediction(outputs: outputs, usedBackings: used, ignoredBackings: backings.count - used)
        }

        /// What a model is loaded with.
        static func configuration(
            _ computeUnits: ModelComponent.ComputeUnits, function: String?
        ) throws(ModelFailure) -> MLModelConfiguration {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = computeUnits.asCoreML
            if let function {
                guard #available(iOS 18.0, macOS 15.0, *) else {
                    throw ModelFailure(
                        .unsupported, "Functions such as \(function) need iOS 18 or macOS 15; give separate packages.")
                }
                configuration.functionName = function
            }
            return configuration
        }

        private static func missing(_ name: String) -> ModelFailure {
            ModelFailure(.inference, "Core ML gave no \(name) of the expected type.")
        }
    }

    extension ModelComponent.ComputeUnits {
        /// Core ML's name of them.
        var asCoreML: MLComputeUnits {
            switch self {
            case .all: .all
            case .cpuOnly: .cpuOnly
            case .cpuAndGPU: .cpuAndGPU
            case .cpuAndNeuralEngine: .cpuAndNeuralEngine
            }
        }
    }
#endif
