import CoreGraphics
import Foundation
import MobieCapture
import MobieCore
import MobieCoreML
import MobiePixels
import Observation
import VideoToolbox

@MainActor @Observable
final class Editor {
    private(set) var status = "Starting"
    private(set) var image: CGImage?

    private let model = Bundle.main.bundleURL.appending(path: "model")
    @ObservationIgnored private var session: EditSession<CoreMLBackend>?

    func run() async {
        do {
            let session = try EditSession(model: model, backend: try await started())
            self.session = session
            try await session.change(to: "make it snow")
            status = ""
            try await edit(session)
        } catch {
            status = error.localizedDescription
        }
    }

    func change(to prompt: String) async {
        do {
            try await session?.change(to: prompt)
        } catch {
            status = error.localizedDescription
        }
    }

    private func edit(_ session: EditSession<CoreMLBackend>) async throws {
        let camera = CameraCapture()
        do {
            try await camera.start()
            // Whichever ends first, by an error or because the view is gone, ends the others.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Self.feed(camera, to: session) }
                group.addTask { await self.show(session.frames) }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            await camera.stop()
            throw error
        }
        await camera.stop()
    }

    private nonisolated static func feed(
        _ camera: CameraCapture, to session: EditSession<CoreMLBackend>
    ) async throws {
        var fitter = try FrameFitter(model: session.pipeline.manifest.frame)
        for await captured in camera.frames {
            await session.submit(try fitter.prepare(captured.frame))
        }
    }

    private func show(_ frames: EditPipeline<CoreMLBackend>.EditedFrames) async {
        for await edited in frames {
            var picture: CGImage?
            VTCreateCGImageFromCVPixelBuffer(edited.frame.buffer, options: nil, imageOut: &picture)
            image = picture
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
