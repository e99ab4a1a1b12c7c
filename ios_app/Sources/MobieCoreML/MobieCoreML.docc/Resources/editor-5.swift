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
    @ObservationIgnored private var pressure = PressureLevel.nominal

    private let quality = QualityController(levels: [
        QualityLevel(frameRateCap: nil, similarityThreshold: nil, variant: "model", latencyBudget: 0.1),
        QualityLevel(frameRateCap: 15, similarityThreshold: 3, variant: "model", latencyBudget: 0.2),
        QualityLevel(frameRateCap: 5, similarityThreshold: 6, variant: "model", latencyBudget: 0.5),
    ])

    func run() async {
        do {
            let session = try EditSession(model: model, backend: try await started(), quality: quality)
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
            let events = await camera.events()
            try await camera.start()
            // Whichever ends first, by an error or because the view is gone, ends the others.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Self.feed(camera, to: session) }
                group.addTask { await self.show(session.frames) }
                group.addTask { try await self.follow(events, session) }
                group.addTask { try await self.observe(session) }
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
            let frame = try fitter.prepare(captured.frame)
            await session.submit(frame, signature: frame.signature)
        }
    }

    private func show(_ frames: EditPipeline<CoreMLBackend>.EditedFrames) async {
        for await edited in frames {
            var picture: CGImage?
            VTCreateCGImageFromCVPixelBuffer(edited.frame.buffer, options: nil, imageOut: &picture)
            image = picture
        }
    }

    private func follow(_ events: AsyncStream<CaptureEvent>, _ session: EditSession<CoreMLBackend>) async throws {
        for await event in events {
            switch event {
            case .state(.interrupted): await session.pause(.interrupted)
            case .state(.running): await session.resume(.interrupted)
            case .state(.failed(let failure)): throw failure
            case .pressure(let level): pressure = level
            case .state, .dropped, .rotated: break
            }
        }
    }

    private func observe(_ session: EditSession<CoreMLBackend>) async throws {
        while true {
            try await Task.sleep(for: .seconds(1))
            await session.observe(.now(pressure: pressure))
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
