#if canImport(CoreML) && canImport(AVFoundation)
    import Foundation
    import MobieClip
    import MobieCore
    import MobieCoreML

    /// The sample of docs/swift.md for test hosts: it has to compile, and needs a model to run.
    enum DocumentedClipSample {
        static func report(of model: URL, clip: URL, in folder: URL) async throws -> ClipReport {
            // docs/swift.md from here
            let places = ModelStarter<CoreMLRuntime>.Places(
                cache: CompiledModelCache(folder: folder.appendingPathComponent("compiled")), records: folder)
            let edit = CoreMLClipEdit(
                input: clip, output: folder.appendingPathComponent("edited.mp4"),
                instruction: EditInstruction(prompt: "make it snow"))
            let report = try await edit.run(model: try ModelFolder.open(model), places: places)
            // to here
            return report
        }
    }
#endif
