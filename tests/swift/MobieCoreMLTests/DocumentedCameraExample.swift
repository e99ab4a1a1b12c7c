#if canImport(CoreML)
    import Foundation
    import MobieCapture
    import MobieCore
    import MobieCoreML
    import MobiePixels

    /// The camera session of README.md: it has to compile, and needs a camera to run.
    func editCamera(model url: URL, caches: URL, show: (PixelFrame) -> Void) async throws {
        // README.md from here
        let starter = ModelStarter(
            folder: try ModelFolder.open(url), runtime: CoreMLRuntime(),
            places: .init(cache: CompiledModelCache(folder: caches), records: caches))
        let session = try EditSession(model: url, backend: try await starter.start())
        try await session.change(to: "make it snow")
        let camera = CameraCapture()
        try await camera.start()
        let input = Task {
            var fitter = try FrameFitter(model: session.pipeline.manifest.frame)
            for await captured in camera.frames { await session.submit(try fitter.prepare(captured.frame)) }
        }
        for await edited in session.frames { show(edited.frame) }
        // to here
        input.cancel()
    }
#endif
