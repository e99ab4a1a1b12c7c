import Foundation
import MobieCore
import MobieCoreML
import Observation

@MainActor @Observable
final class Editor {
    private(set) var status = "Starting"

    private let model = Bundle.main.bundleURL.appending(path: "model")

    func run() async {
        do {
            _ = try await starter().start()
            status = "Ready"
        } catch {
            status = error.localizedDescription
        }
    }

    private func starter() throws -> ModelStarter<CoreMLRuntime> {
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        return ModelStarter(
            folder: try ModelFolder.open(model), runtime: CoreMLRuntime(),
            places: .init(cache: CompiledModelCache(folder: caches.appending(path: "models")), records: caches))
    }
}
