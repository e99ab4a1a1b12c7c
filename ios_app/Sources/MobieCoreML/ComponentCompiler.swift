import Foundation
import MobieCore

/// Finds the compiled model of a component, or compiles it.
struct ComponentCompiler<Runtime: ModelRuntime>: Sendable {
    let folder: ModelFolder
    let runtime: Runtime
    let cache: CompiledModelCache
    let system: SystemIdentity

    func key(_ component: ModelComponent) -> CompiledModelKey {
        CompiledModelKey(package: component.sha256, system: system)
    }

    func compiled(_ component: ModelComponent) async throws -> CompiledModel {
        let url = folder.url.appendingPathComponent(component.file)
        // Core ML's own caches know a compiled model by its place: it is used where it is.
        if component.form == .compiled { return CompiledModel(url: url) }
        return try await cache.model(for: key(component)) { [runtime] in try await runtime.compile(url) }
    }
}
