#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore

    /// Reads a clip's frames in order, as 8-bit BGRA, with their times.
    public actor VideoFileReader {
        /// What a clip says of itself.
        public struct Info: Sendable, Equatable {
            /// Stored frames.
            public let size: FrameSize
            /// What makes them upright.
            public let orientation: FrameOrientation
            /// Frames a second on average; 0 where the clip does not say.
            public let frameRate: Double
            /// Length in nanoseconds; nil where the clip does not say.
            public let duration: Int64?
        }

        /// A reader and its output, which go together into the actor; reading ends with them.
        private final class Opened {
            let reader: AVAssetReader
            let output: AVAssetReaderTrackOutput

            init(_ reader: AVAssetReader, _ output: AVAssetReaderTrackOutput) {
                (self.reader, self.output) = (reader, output)
            }

            deinit {
                if reader.status == .reading { reader.cancelReading() }
            }
        }

        /// What the clip says of itself.
        public nonisolated let info: Info
        private let name: String
        private let opened: Opened
        private var isDone = false

        /// Opens a clip.
        ///
        /// - Throws: `CaptureError.unreadable`, `CaptureError.noVideo`.
        public static func open(_ url: URL) async throws(CaptureError) -> VideoFileReader {
            let name = url.lastPathComponent
            let asset = AVURLAsset(url: url)
            do {
                guard let track = try await asset.loadTracks(withMediaType: .video).first else {
                    throw CaptureError.noVideo(name)
                }
                let size = try await track.load(.naturalSize)
                let transform = try await track.load(.preferredTransform)
                let info = Info(
                    size: FrameSize(width: Int(size.width.rounded()), height: Int(size.height.rounded())),
                    orientation: FrameOrientation(transform),
                    frameRate: Double(try await track.load(.nominalFrameRate)),
                    duration: try await asset.load(.duration).nanoseconds)
                let reader = try AVAssetReader(asset: asset)
                let output = AVAssetReaderTrackOutput(
                    track: track,
                    outputSettings: [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA])
                // The frames are read only: a copy would be for those who write to them.
                output.alwaysCopiesSampleData = false
                guard reader.canAdd(output) else {
                    throw CaptureError.unreadable(name, "its video gives no 8-bit BGRA.")
                }
                reader.add(output)
                guard reader.startReading() else {
                    throw CaptureError.unreadable(name, reader.error?.localizedDescription ?? "no reason was given.")
                }
                return VideoFileReader(name, info, Opened(reader, output))
            } catch {
                throw error as? CaptureError ?? .unreadable(name, error.localizedDescription)
            }
        }

        private init(_ name: String, _ info: Info, _ opened: sending Opened) {
            (self.name, self.info, self.opened) = (name, info, opened)
        }

        /// The next frame; nil after the last one. Decodes on the calling task's time.
        ///
        /// - Throws: `CaptureError.unreadable` where the clip is damaged, `CaptureError.finished` after `cancel()`.
        public func next() throws(CaptureError) -> CapturedFrame? {
            if isDone { return nil }
            while let sample = opened.output.copyNextSampleBuffer() {
                // Samples without a picture only mark places in the clip.
                if let frame = CapturedFrame(sample, orientation: info.orientation) { return frame }
            }
            isDone = true
            switch opened.reader.status {
            case .completed: return nil
            case .cancelled: throw .finished
            default:
                throw .unreadable(name, opened.reader.error?.localizedDescription ?? "it ends too soon.")
            }
        }

        /// Ends reading.
        public func cancel() {
            opened.reader.cancelReading()
        }
    }

    extension FrameOrientation {
        /// The orientation in a track's transform.
        init(_ transform: CGAffineTransform) {
            func part(_ value: CGFloat) -> Int32 {
                // 16.16 fixed-point, as the file has it.
                Int32(max(-32767, min(32767, value)) * 65536)
            }
            self.init(
                displayMatrix: (part(transform.a), part(transform.b), part(transform.c), part(transform.d)))
        }
    }
#endif
