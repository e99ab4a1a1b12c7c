#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobieCore
    import MobiePixels

    /// Starts models with Core ML.
    public struct CoreMLRuntime: ModelRuntime {
        /// Of packages with several functions, by component.
        public var functions: [ComponentName: String]

        /// A runtime; packages of several functions run their default ones unless named here (iOS 18, macOS 15).
        public init(functions: [ComponentName: String] = [:]) {
            self.functions = functions
        }

        public func compile(_ package: URL) async throws -> URL {
            try await MLModel.compileModel(at: package)
        }

        public func load(_ model: LoadableModel) async throws -> CoreMLBackend {
            try await CoreMLBackend(model, functions: functions)
        }

        public func blankFrame(of size: FrameSize) throws -> PixelFrame {
            let buffer = try PixelBufferPool(frames: size).make()
            // Mid-grey: what the model sees least of all as something special.
            try buffer.writing { rows, _ in
                for index in rows.indices { rows[index] = 128 }
            }
            return try PixelFrame(filled: buffer)
        }

        /// Where Core ML plans to run a model's operations.
        ///
        /// - Parameter model: What a `ModelStarter` loads models from.
        /// - Throws: `ModelFailure` before iOS 17.4 and macOS 14.4, and what Core ML throws.
        public func computePlan(of model: LoadableModel) async throws -> ComputePlanReport {
            guard #available(iOS 17.4, macOS 14.4, *) else {
                throw ModelFailure(.unsupported, "A compute plan needs iOS 17.4 or macOS 14.4.")
            }
            var components: [ComputePlanReport.Component] = []
            for component in model.manifest.components {
                try Task.checkCancellation()
                let units = model.computeUnits[component.name] ?? component.computeUnits
                let function = functions[component.name]
                let operations = try await plannedOperations(
                    of: try await model.compiled(component.name), units, function: function)
                components.append(.init(component.name, computeUnits: units, operations: operations))
            }
            return ComputePlanReport(components: components)
        }
    }

    @available(iOS 17.4, macOS 14.4, *)
    private func plannedOperations(
        of compiled: CompiledModel, _ units: ModelComponent.ComputeUnits, function: String?
    ) async throws -> [ComputePlanReport.Operation] {
        let configuration = try LoadedModel.configuration(units, function: function)
        let plan = try await MLComputePlan.load(contentsOf: compiled.url, configuration: configuration)
        guard case .program(let program) = plan.modelStructure else {
            throw ModelFailure(.unsupported, "Only models of the ML Program kind have operations to plan.")
        }
        guard let main = program.functions[function ?? "main"] else {
            throw ModelFailure(.damaged, "The compiled model has no function \(function ?? "main").")
        }
        return plannedOperations(in: main.block, plan)
    }

    @available(iOS 17.4, macOS 14.4, *)
    private func plannedOperations(
        in block: MLModelStructure.Program.Block, _ plan: MLComputePlan
    ) -> [ComputePlanReport.Operation] {
        var found: [ComputePlanReport.Operation] = []
        for operation in block.operations {
            // Constants run nowhere.
            if let usage = plan.deviceUsage(for: operation) {
                found.append(
                    ComputePlanReport.Operation(
                        kind: operation.operatorName, output: operation.outputs.first?.name ?? "",
                        preferred: usage.preferred.kind, supported: usage.supported.map(\.kind),
                        cost: plan.estimatedCost(of: operation)?.weight))
            }
            for inner in operation.blocks { found += plannedOperations(in: inner, plan) }
        }
        return found
    }

    extension MLComputeDevice {
        fileprivate var kind: ComputePlanReport.Device {
            switch self {
            case .cpu: .cpu
            case .gpu: .gpu
            case .neuralEngine: .neuralEngine
            @unknown default: .other
            }
        }
    }
#endif
