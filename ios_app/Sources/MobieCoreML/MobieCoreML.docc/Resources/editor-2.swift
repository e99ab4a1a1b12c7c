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
            _ = try await started()
            status = "Ready"
        } catch {
            status = error.localizedDescription
        }
    }

    private func started() async throws -> CoreMLBackend {
        let starter = try starter()
        let drawing = Task {
            while !Task.isCancelled {
                if let work = await starter.progress() { status = Self.text(work) }
                try await Task.sleep(for: .milliseconds(250))
            }
        }
        defer { drawing.cancel() }
        return try await starter.start()
    }

    private static func text(_ work: StageDurations.Progress) -> String {
        let last = work.last.map { "\(Int($0)) s last time" } ?? "the first time"
        return "\(work.stage.rawValue): \(Int(work.elapsed)) s, \(last)"
    }

    private func starter() throws -> ModelStarter<CoreMLRuntime> {
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        return ModelStarter(
            folder: try ModelFolder.open(model), runtime: CoreMLRuntime(),
            places: .init(cache: CompiledModelCache(folder: caches.appending(path: "models")), records: caches))
    }
}
