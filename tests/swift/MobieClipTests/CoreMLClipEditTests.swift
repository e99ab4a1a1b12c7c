#if canImport(CoreML) && canImport(AVFoundation)
    import Foundation
    import MobieCapture
    import MobieCore
    import MobieCoreML
    import MobiePixels
    import Testing

    @testable import MobieClip

    /// A clip through Core ML itself with the model of scripts/make_tiny_model.py (MOBIE_TINY_MODEL says where it is), on
    /// the CPU alone: hosted machines have no Neural Engine that can be used.
    @Suite(
        .serialized,
        .enabled(
            if: ProcessInfo.processInfo.environment["MOBIE_TINY_MODEL"] != nil,
            "MOBIE_TINY_MODEL names no output of scripts/make_tiny_model.py"))
    struct CoreMLClipEditTests {
        private static let frames = 6
        private let model: ModelFolder
        private let folder: URL

        init() throws {
            let tiny = try #require(ProcessInfo.processInfo.environment["MOBIE_TINY_MODEL"])
            model = try ModelFolder.open(URL(fileURLWithPath: tiny).appendingPathComponent("model"))
            folder = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        private var places: ModelStarter<CoreMLRuntime>.Places {
            .init(cache: CompiledModelCache(folder: folder.appendingPathComponent("cache")), records: folder)
        }

        /// An edit of a new clip of grey frames that become brighter, larger than the model's.
        private func edit() async throws -> CoreMLClipEdit {
            let size = FrameSize(width: 320, height: 240)
            let clip = folder.appendingPathComponent("clip.mp4")
            let recorder = try VideoRecorder(to: clip, size: size, isLive: false)
            let pool = try PixelBufferPool(frames: size)
            for number in 0..<Self.frames {
                let bytes = [UInt8](repeating: UInt8(40 + 20 * number), count: 4 * size.width * size.height)
                let image = try #require(
                    InterleavedImage(width: size.width, height: size.height, channels: 4, bytes: bytes))
                _ = try await recorder.append(try pool.frame(of: image), at: Int64(number) * 40_000_000)
            }
            _ = try await recorder.finish()
            var edit = CoreMLClipEdit(
                input: clip, output: folder.appendingPathComponent("edited.mp4"),
                instruction: EditInstruction(prompt: "make it snow"))
            edit.computeUnits = ComputeUnitChoice(.cpuOnly)
            return edit
        }

        private func names() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".mp4") }.sorted()
        }

        @Test func everyFrameIsInTheEditedClip() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let edit = try await edit()
            let report = try await edit.run(model: model, places: places)
            #expect((report.frames, report.statistics.delivered) == (Self.frames, Self.frames))
            #expect(Set(report.statistics.latencies.keys) == ["encoder", "denoiser", "decoder", "frame"])
            #expect(Set(report.computeUnits.values) == [.cpuOnly])
            #expect(Set(report.start.keys) == ["verifying", "compiling", "loading", "warmingUp"])
            #expect((report.computePlan == nil) == (report.noComputePlan != nil))
            let standard = model.manifest.method.guidance
            #expect(report.instruction.textGuidance == standard.text.standard)
            #expect(report.instruction.imageGuidance == standard.image.standard)
            let reader = try await VideoFileReader.open(edit.output)
            #expect(reader.info.size == model.manifest.frame)
            var read = 0
            while try await reader.next() != nil { read += 1 }
            #expect(read == Self.frames)
            #expect(try names() == ["clip.mp4", "edited.mp4"])
        }

        @Test func whatCannotBeDoneLeavesNothing() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let good = try await edit()
            var (guided, absent, same, unspoken) = (good, good, good, good)
            guided.instruction.textGuidance = model.manifest.method.guidance.text.maximum + 1
            absent.input = folder.appendingPathComponent("absent.mp4")
            (same.output, same.replaces) = (same.input, true)
            unspoken.instruction.prompt = " "
            for bad in [guided, absent, same, unspoken] {
                let error = await #expect(throws: (any Error).self) { try await bad.run(model: model, places: places) }
                #expect((error as? any LocalizedError)?.recoverySuggestion?.isEmpty == false)
            }
            let cancelled = Task { try await good.run(model: model, places: places) }
            cancelled.cancel()
            // AVFoundation may put it in words of its own.
            await #expect(throws: (any Error).self) { try await cancelled.value }
            #expect(try names() == ["clip.mp4"])
        }
    }
#endif
