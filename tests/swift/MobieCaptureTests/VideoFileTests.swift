#if canImport(AVFoundation)
    import Foundation
    import MobieCore
    import MobiePixels
    import Testing

    @testable import MobieCapture

    /// Recorder, reader and pixel buffers with Apple's frameworks; no camera is needed.
    @Suite(.serialized)
    struct VideoFileTests {
        private static let size = FrameSize(width: 64, height: 48)
        /// Uneven, as a camera's are when frames are left out.
        private static let times: [Int64] = [5_000_000_000, 5_033_000_000, 5_133_000_000, 5_166_000_000, 6_000_000_000]
        private let folder: URL

        init() throws {
            folder = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        private func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }

        private func image(_ size: FrameSize, brightness: UInt8) throws -> InterleavedImage {
            let pixel = [brightness, brightness, brightness, 255]
            let bytes = Array([[UInt8]](repeating: pixel, count: size.width * size.height).joined())
            return try #require(
                InterleavedImage(width: size.width, height: size.height, channels: 4, bytes: bytes))
        }

        private func frame(_ brightness: UInt8) throws -> PixelFrame {
            try PixelBufferPool(frames: Self.size).frame(of: try image(Self.size, brightness: brightness))
        }

        private func recorder(_ name: String, _ codec: VideoEncoding.Codec = .h264) throws -> VideoRecorder {
            try VideoRecorder(
                to: folder.appendingPathComponent(name), size: Self.size, encoding: VideoEncoding(codec: codec),
                isLive: false)
        }

        @Test(arguments: ["clip.mp4", "clip.mov"])
        func whatIsRecordedIsRead(name: String) async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let recorder = try recorder(name)
            for (index, time) in Self.times.enumerated() {
                #expect(try await recorder.append(try frame(UInt8(40 + 40 * index)), at: time))
            }
            // A frame whose time does not grow has no place.
            #expect(try await !recorder.append(try frame(0), at: Self.times[0]))
            #expect(try names().filter { !$0.hasPrefix(".") } == [])
            let recording = try await recorder.finish()
            #expect(try names() == [name])
            #expect((recording.frames, recording.dropped) == (Self.times.count, 1))
            #expect(try await recorder.finish() == recording)
            await #expect(throws: CaptureError.finished) { try await recorder.append(try frame(0), at: .max) }
            let reader = try await VideoFileReader.open(recording.url)
            #expect(reader.info.size == Self.size)
            #expect(reader.info.orientation == FrameOrientation())
            var read: [CapturedFrame] = []
            while let next = try await reader.next() { read.append(next) }
            #expect(try await reader.next() == nil)
            let places = Self.times.map { $0 - Self.times[0] }
            try #require(read.count == places.count)
            for (index, frame) in read.enumerated() {
                // The file counts in 90,000ths of a second.
                #expect(abs(frame.nanoseconds - places[index]) <= 12_000)
                let pixel = Int(try frame.frame.image().bytes[0])
                #expect(abs(pixel - (40 + 40 * index)) <= 12)
            }
        }

        @Test func aRecordingThatIsNotFinishedLeavesNothing() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let cancelled = try recorder("a.mp4")
            _ = try await cancelled.append(try frame(9), at: 0)
            await cancelled.cancel()
            await #expect(throws: CaptureError.finished) { try await cancelled.finish() }
            let empty = try recorder("b.mp4")
            await #expect(throws: CaptureError.empty) { try await empty.finish() }
            #expect(try names() == [])
            #expect { try recorder("c.avi") } throws: {
                if case .unwritable = $0 as? CaptureError { true } else { false }
            }
        }

        @Test func anInterruptionEndsARecording() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let recorder = try recorder("a.mp4")
            let (events, continuation) = AsyncStream.makeStream(of: CaptureEvent.self)
            _ = try await recorder.append(try frame(9), at: 7)
            continuation.yield(.dropped(.late))
            continuation.yield(.state(.running))
            continuation.yield(.state(.interrupted(.background)))
            let recording = try await recorder.finish(onInterruption: events)
            #expect(recording?.frames == 1)
            #expect(try names() == ["a.mp4"])
        }

        @Test func filesThatAreNoClipsAreRefused() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let file = folder.appendingPathComponent("text.mp4")
            try Data("no clip".utf8).write(to: file)
            for url in [file, folder.appendingPathComponent("missing.mov")] {
                await #expect { try await VideoFileReader.open(url) } throws: {
                    if case .unreadable(url.lastPathComponent, _) = $0 as? CaptureError { true } else { false }
                }
            }
        }

        @Test func framesAreFittedAsInPython() throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let model = FrameSize(width: 32, height: 32)
            let bytes = (0..<64 * 48 * 4).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 256) }
            let source = try #require(InterleavedImage(width: 64, height: 48, channels: 4, bytes: bytes))
            let stored = try PixelBufferPool(frames: Self.size).frame(of: source)
            #expect(try stored.image() == source)
            #expect(stored.signature == FrameSignature(source))
            var fitter = try FrameFitter(model: model)
            let turned = FrameOrientation(quarterTurnsClockwise: 1)
            for orientation in [FrameOrientation(), turned] {
                let upright = orientation.apply(to: source)
                let geometry = try FrameGeometry(
                    source: FrameSize(width: upright.width, height: upright.height), model: model, fit: .cover)
                let prepared = try fitter.prepare(stored, orientation: orientation)
                #expect(fitter.geometry == geometry)
                #expect(try prepared.image() == geometry.prepare(upright))
                let restored = try fitter.restore(prepared)
                #expect(try restored.image() == geometry.restore(prepared.image(), atSourceScale: true))
            }
        }

        @Test func aPoolHasAnEnd() throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let pool = try PixelBufferPool(frames: Self.size, limit: 2)
            var held = [try pool.make(), try pool.make()]
            #expect(throws: PixelError.self) { try pool.make() }
            held.removeLast()
            held.append(try pool.make())
            #expect(held.count == 2)
        }
    }
#endif
