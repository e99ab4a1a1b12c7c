#if canImport(CoreML)
    import Foundation
    import MobieCapture
    import MobieCore
    import MobieCoreML

    /// Samples of the articles that need Core ML: they have to compile, and need a model to run.
    enum DocumentedModelSamples {
        static func start(
            _ url: URL, caches: URL, records: URL, say: (String) -> Void
        ) async throws -> CoreMLBackend {
            // AddingThePackage.md from here
            let starter = ModelStarter(
                folder: try ModelFolder.open(url), runtime: CoreMLRuntime(),
                places: .init(cache: CompiledModelCache(folder: caches), records: records))
            if await !starter.isExpectedCached() { say("The first start compiles the model.") }
            let backend = try await starter.start()
            if let explanation = await starter.explanation { say(explanation) }
            // to here
            return backend
        }

        static func plan(
            _ folder: ModelFolder, _ places: ModelStarter<CoreMLRuntime>.Places
        ) async throws -> CoreMLBackend {
            // AddingThePackage.md from here
            let starter = ModelStarter(
                folder: folder, runtime: CoreMLRuntime(), places: places,
                computeUnits: ComputeUnitChoice(components: [.denoiser: .cpuAndGPU]))
            let backend = try await starter.start()
            let plan = try await CoreMLRuntime().computePlan(of: await starter.loadable)
            for component in plan.components { print(component.name.rawValue, component.costs) }
            // to here
            return backend
        }

        static func follow(
            _ session: EditSession<CoreMLBackend>, pressure: PressureLevel, variant: String,
            show: (QualityLevel) async -> Void
        ) async throws {
            // AdaptingToHeat.md from here
            while !Task.isCancelled {
                let level = await session.observe(.now(pressure: pressure))
                if let level, level.variant != variant { await show(level) }
                try await Task.sleep(for: .seconds(1))
            }
            // to here
        }
    }
#endif
