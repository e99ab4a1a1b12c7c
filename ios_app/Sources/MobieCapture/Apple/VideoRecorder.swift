#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore
    import MobiePixels

    /// Writes frames to a clip at the times at which they were taken. The clip appears when it is whole; an
    /// interruption of the camera ends it, with everything up to then.
    public actor VideoRecorder {
        /// A finished recording.
        public struct Recording: Sendable, Equatable {
            /// The clip.
            public let url: URL
            /// Frames in it.
            public let frames: Int
            /// Frames left out.
            public let dropped: Int
            /// Length in nanoseconds.
            public let duration: Int64
        }

        /// Writer, input and adaptor, which go together into the actor.
        private struct Writing {
            let writer: AVAssetWriter
            let input: AVAssetWriterInput
            let adaptor: AVAssetWriterInputPixelBufferAdaptor
        }

        private let file: RecordingFile
        private let size: FrameSize
        private let writing: Writing
        private let isLive: Bool
        private let frameDuration: Int64
        private var timeline = RecordingTimeline()
        private var ending: Task<Recording, any Error>?

        /// A recording that has no frames yet.
        ///
        /// - Parameters:
        ///   - destination: A file with the extension mp4 or mov.
        ///   - size: Of all frames; both sides even.
        ///   - encoding: How frames are encoded.
        ///   - isLive: Frames come from a camera and are left out where the file is not ready for them; otherwise
        ///     `append` waits.
        ///   - replaces: A file that is there may be replaced.
        /// - Throws: `CaptureError`.
        public init(
            to destination: URL, size: FrameSize, encoding: VideoEncoding = VideoEncoding(), isLive: Bool = true,
            replaces: Bool = false
        ) throws(CaptureError) {
            guard let container = VideoEncoding.Container(of: destination) else {
                throw .unwritable("\(destination.lastPathComponent) is neither .mp4 nor .mov.")
            }
            guard size.width > 0, size.height > 0, size.width % 2 == 0, size.height % 2 == 0 else {
                throw .unwritable("frames of \(size.width)x\(size.height) pixels; both sides must be even.")
            }
            file = try RecordingFile(destination, replaces: replaces)
            (self.size, self.isLive) = (size, isLive)
            frameDuration = Int64(1e9 / max(1, encoding.expectedFrameRate))
            writing = try Self.writing(file.temporary, size, encoding, container, isLive: isLive)
        }

        deinit {
            // What was not finished is not kept; after the end there is nothing more to remove.
            file.discard()
        }

        /// Adds a frame.
        ///
        /// - Parameters:
        ///   - frame: Of the recording's size.
        ///   - nanoseconds: When it was taken, of any clock; frames whose time does not grow are left out.
        /// - Returns: Whether it was written.
        /// - Throws: `CaptureError.finished` after the end, `CaptureError.unwritable`, or `CancellationError`.
        public func append(_ frame: PixelFrame, at nanoseconds: Int64) async throws -> Bool {
            guard ending == nil else { throw CaptureError.finished }
            guard frame.size == size else {
                throw CaptureError.unwritable(
                    "a frame of \(frame.size.width)x\(frame.size.height) pixels in a clip of "
                        + "\(size.width)x\(size.height).")
            }
            while !isLive, !writing.input.isReadyForMoreMediaData, writing.writer.status == .writing {
                try await Task.sleep(for: .milliseconds(2))
                guard ending == nil else { throw CaptureError.finished }
            }
            guard writing.writer.status == .writing else { throw failure() }
            guard let place = timeline.place(nanoseconds), writing.input.isReadyForMoreMediaData else {
                timeline.drop()
                return false
            }
            guard writing.adaptor.append(frame.buffer, withPresentationTime: CMTime(nanoseconds: place)) else {
                throw failure()
            }
            timeline.take(nanoseconds)
            return true
        }

        /// Ends the recording and moves the clip into place; the same result when it is called again.
        ///
        /// - Throws: `CaptureError.empty` without a frame, `CaptureError.unwritable`, `CaptureError.exists`.
        public func finish() async throws -> Recording {
            if let ending { return try await ending.value }
            let task = Task { try await self.end() }
            ending = task
            return try await task.value
        }

        /// Throws the recording away; nothing after its end.
        public func cancel() {
            guard ending == nil else { return }
            ending = Task { throw CaptureError.finished }
            writing.writer.cancelWriting()
            file.discard()
        }

        /// Ends the recording when the camera is interrupted, fails or stops. Returns then, or when events end.
        ///
        /// - Parameter events: Of the camera that is recorded.
        /// - Throws: As `finish()`.
        public func finish(onInterruption events: AsyncStream<CaptureEvent>) async throws -> Recording? {
            for await case .state(let state) in events where state.endsRecordings { return try await finish() }
            return nil
        }

        private func end() async throws -> Recording {
            guard timeline.frames > 0, writing.writer.status == .writing else {
                let reason = timeline.frames > 0 ? failure() : .empty
                writing.writer.cancelWriting()
                file.discard()
                throw reason
            }
            let duration = timeline.end(single: frameDuration)
            writing.input.markAsFinished()
            writing.writer.endSession(atSourceTime: CMTime(nanoseconds: duration))
            await withCheckedContinuation { continuation in
                writing.writer.finishWriting { continuation.resume() }
            }
            guard writing.writer.status == .completed else {
                file.discard()
                throw failure()
            }
            try file.commit()
            return Recording(
                url: file.destination, frames: timeline.frames, dropped: timeline.dropped, duration: duration)
        }

        private func failure() -> CaptureError {
            .unwritable(writing.writer.error?.localizedDescription ?? "no reason was given.")
        }

        private static func writing(
            _ url: URL, _ size: FrameSize, _ encoding: VideoEncoding, _ container: VideoEncoding.Container,
            isLive: Bool
        ) throws(CaptureError) -> Writing {
            let writer: AVAssetWriter
            do {
                writer = try AVAssetWriter(outputURL: url, fileType: container == .mp4 ? .mp4 : .mov)
            } catch {
                throw .unwritable(error.localizedDescription)
            }
            let input = AVAssetWriterInput(mediaType: .video, outputSettings: settings(size, encoding))
            input.expectsMediaDataInRealTime = isLive
            // Finer than the usual 600 a second: frames come at any time.
            input.mediaTimeScale = 90_000
            let attributes: [String: Any] = [
                kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA,
                kCVPixelBufferWidthKey as String: size.width,
                kCVPixelBufferHeightKey as String: size.height,
            ]
            let adaptor = AVAssetWriterInputPixelBufferAdaptor(
                assetWriterInput: input, sourcePixelBufferAttributes: attributes)
            guard writer.canAdd(input) else { throw .unwritable("this device does not encode such frames.") }
            writer.add(input)
            guard writer.startWriting() else {
                throw .unwritable(writer.error?.localizedDescription ?? "no reason was given.")
            }
            writer.startSession(atSourceTime: .zero)
            return Writing(writer: writer, input: input, adaptor: adaptor)
        }

        private static func settings(_ size: FrameSize, _ encoding: VideoEncoding) -> [String: Any] {
            var compression: [String: Any] = [
                AVVideoAverageBitRateKey: encoding.averageBitRate ?? encoding.standardBitRate(size),
                AVVideoExpectedSourceFrameRateKey: encoding.expectedFrameRate,
                AVVideoMaxKeyFrameIntervalDurationKey: encoding.keyFrameInterval,
            ]
            let codec: AVVideoCodecType
            switch encoding.codec {
            case .h264:
                codec = .h264
                compression[AVVideoProfileLevelKey] = AVVideoProfileLevelH264HighAutoLevel
            case .hevc: codec = .hevc
            }
            return [
                AVVideoCodecKey: codec,
                AVVideoWidthKey: size.width,
                AVVideoHeightKey: size.height,
                AVVideoCompressionPropertiesKey: compression,
            ]
        }
    }
#endif
