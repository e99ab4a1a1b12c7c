#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobieCore
    import MobiePixels

    /// Runs a model's components with Core ML. Frames are 8-bit BGRA of the model's size; tensors stay in memory that
    /// the compute units share from one component to the next.
    ///
    /// A component whose prediction fails is loaded once more and tried again before the failure is reported.
    public final class CoreMLBackend: EditBackend {
        public typealias Frame = PixelFrame
        public typealias Tensor = CoreMLTensor

        /// How often Core ML wrote where it was asked to.
        public struct BackingUse: Sendable, Equatable, Codable {
            /// Outputs written to the memory that was offered.
            public internal(set) var used = 0
            /// Outputs that Core ML put elsewhere, which costs a copy.
            public internal(set) var ignored = 0
        }

        private struct Stage: Sendable {
            let binding: ComponentBinding
            let plan: OutputPlan
            let model: ReloadingResource<LoadedModel>
        }

        private actor Counter {
            private(set) var uses: [ComponentName: BackingUse] = [:]

            func add(_ prediction: Prediction, of name: ComponentName) {
                uses[name, default: BackingUse()].used += prediction.usedBackings
                uses[name, default: BackingUse()].ignored += prediction.ignoredBackings
            }
        }

        private let manifest: ModelManifest
        private let stages: [ComponentName: Stage]
        private let latentsPool: TensorPool
        private let zeros: CoreMLTensor
        private let counter = Counter()

        /// Loads all components.
        ///
        /// - Parameters:
        ///   - model: What a starter loads.
        ///   - functions: Of packages with several; the default of those that are left out.
        /// - Throws: `ModelFailure` where the manifest asks for what is not known here or a component does not load,
        ///   `PixelError` where there is no memory, or `CancellationError`.
        public init(_ model: LoadableModel, functions: [ComponentName: String] = [:]) async throws {
            manifest = model.manifest
            latentsPool = try TensorPool(shape: manifest.latents.shape)
            zeros = try latentsPool.tensor(of: [Float](repeating: 0, count: manifest.latents.shape.reduce(1, *)))
            var stages: [ComponentName: Stage] = [:]
            for component in manifest.components {
                try Task.checkCancellation()
                let name = component.name
                let units = model.computeUnits[name] ?? component.computeUnits
                let loading = ReloadingResource {
                    try await LoadedModel(
                        try await model.compiled(name), computeUnits: units, function: functions[name])
                } helps: { error in
                    // Another model has no more buffers than this one.
                    !(error is PixelError)
                }
                do {
                    try await loading.prepare()
                } catch {
                    throw error as? ModelFailure
                        ?? ModelFailure(.loading, "\(name.rawValue) does not load: \(error.localizedDescription)")
                }
                stages[name] = Stage(
                    binding: try ComponentBinding(component),
                    plan: try OutputPlan(component, frame: manifest.frame), model: loading)
            }
            self.stages = stages
        }

        /// How often output memory was used, by component.
        public var backingUse: [ComponentName: BackingUse] {
            get async { await counter.uses }
        }

        /// How often components were loaded again after a failure.
        public var reloads: Int {
            get async {
                var sum = 0
                for stage in stages.values { sum += await stage.model.reloads }
                return sum
            }
        }

        public func textStates(ids: [Int32]) async throws -> CoreMLTensor {
            let input = try number(ids.map(Float.init), .ids, of: .textEncoder)
            return try await tensor(.textEncoder, [.ids: input])
        }

        public func condition(
            _ states: CoreMLTensor, timestep: Int, guidance: GuidanceScales?
        ) async throws -> [String: CoreMLTensor] {
            var values: [ComponentBinding.Role: Feature] = [.textStates: .tensor(states)]
            values[.timestep] = try optional([Float(timestep)], .timestep, of: .conditioner)
            if let guidance {
                values[.textGuidance] = try optional([Float(guidance.text)], .textGuidance, of: .conditioner)
                values[.imageGuidance] = try optional([Float(guidance.image)], .imageGuidance, of: .conditioner)
            }
            var tensors: [String: CoreMLTensor] = [:]
            for (name, output) in try await run(.conditioner, values) {
                guard case .tensor(let tensor) = output else {
                    throw ModelFailure(.inference, "The Conditioner gave a frame as \(name).")
                }
                tensors[name] = tensor
            }
            return tensors
        }

        public func encode(_ frame: PixelFrame) async throws -> CoreMLTensor {
            // Checked here, because a wrong size is no reason to load the model again.
            guard frame.size == manifest.frame else {
                throw PixelError.size(found: frame.size, expected: manifest.frame)
            }
            return try await tensor(.encoder, [.frame: .frame(frame)])
        }

        public func denoise(
            imageLatents: CoreMLTensor?, latents: CoreMLTensor, conditioning: [String: CoreMLTensor]
        ) async throws -> CoreMLTensor {
            var values: [ComponentBinding.Role: Feature] = [
                .imageLatents: .tensor(imageLatents ?? zeros), .latents: .tensor(latents),
            ]
            for (name, tensor) in conditioning { values[.conditioning(name)] = .tensor(tensor) }
            return try await tensor(.denoiser, values)
        }

        public func decode(_ latents: CoreMLTensor) async throws -> PixelFrame {
            let outputs = try await run(.decoder, [.latents: .tensor(latents)])
            guard case .frame(let frame)? = outputs.values.first else {
                throw ModelFailure(.inference, "The Decoder gave no frame.")
            }
            return frame
        }

        public func latents(_ values: [Float]) async throws -> CoreMLTensor {
            try latentsPool.tensor(of: values)
        }

        public func values(of latents: CoreMLTensor) async throws -> [Float] {
            try latents.values()
        }

        private func tensor(
            _ name: ComponentName, _ values: [ComponentBinding.Role: Feature]
        ) async throws -> CoreMLTensor {
            guard case .tensor(let tensor)? = try await run(name, values).values.first else {
                throw ModelFailure(.inference, "The \(name.rawValue) gave no tensor.")
            }
            return tensor
        }

        private func run(
            _ name: ComponentName, _ values: [ComponentBinding.Role: Feature]
        ) async throws -> [String: Feature] {
            let stage = try stage(name)
            let inputs = try stage.binding.inputs(values)
            let plan = stage.plan
            let prediction = try await stage.model.use { try await $0.predict(inputs, plan) }
            await counter.add(prediction, of: name)
            return prediction.outputs
        }

        private func stage(_ name: ComponentName) throws(ModelFailure) -> Stage {
            guard let stage = stages[name] else {
                throw ModelFailure(.damaged, "The model lacks the \(name.rawValue).")
            }
            return stage
        }

        /// An input of numbers; nil where the component does not take it.
        private func optional(
            _ values: [Float], _ role: ComponentBinding.Role, of name: ComponentName
        ) throws -> Feature? {
            let binding = try stage(name).binding
            guard let input = binding.component.inputs.first(where: { $0.name == binding.names[role] }) else {
                return nil
            }
            let array = try MLMultiArray.of(values, shape: input.shape, input.elementType)
            return .tensor(CoreMLTensor(filled: array))
        }

        private func number(
            _ values: [Float], _ role: ComponentBinding.Role, of name: ComponentName
        ) throws -> Feature {
            guard let input = try optional(values, role, of: name) else {
                throw ModelFailure(.damaged, "The \(name.rawValue) has no input for the \(role).")
            }
            return input
        }
    }
#endif
