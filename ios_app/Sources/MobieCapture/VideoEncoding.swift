import Foundation
import MobieCore

/// How a recording is encoded; the rate varies with what is seen.
public struct VideoEncoding: Sendable, Equatable {
    /// Codecs.
    public enum Codec: String, Sendable, Codable, CaseIterable {
        /// H.264, also called AVC.
        case h264
        /// HEVC, also called H.265.
        case hevc
    }

    /// Container files.
    public enum Container: String, Sendable, Codable, CaseIterable {
        /// MPEG-4.
        case mp4
        /// QuickTime.
        case mov

        /// The container of a file's extension, nil where it is neither.
        public init?(of file: URL) {
            self.init(rawValue: file.pathExtension.lowercased())
        }
    }

    /// H.264 plays everywhere, HEVC takes about two thirds of its bits.
    public var codec: Codec
    /// Bits a second on average; nil takes `standardBitRate`.
    public var averageBitRate: Int?
    /// Frames a second that are expected: rate control plans with it, frames may come at any time.
    public var expectedFrameRate: Double
    /// Seconds between frames that can be jumped to, at most.
    public var keyFrameInterval: Double

    /// An encoding; what is left out is for a camera at 30 frames a second.
    public init(
        codec: Codec = .h264, averageBitRate: Int? = nil, expectedFrameRate: Double = 30, keyFrameInterval: Double = 2
    ) {
        (self.codec, self.averageBitRate) = (codec, averageBitRate)
        (self.expectedFrameRate, self.keyFrameInterval) = (expectedFrameRate, keyFrameInterval)
    }

    /// Bits a second for frames of a size: an eighth of a bit a pixel with H.264, a twelfth with HEVC, at least 200,000.
    public func standardBitRate(_ size: FrameSize) -> Int {
        let pixels = Double(size.width * size.height) * max(1, expectedFrameRate)
        return max(200_000, Int(pixels / (codec == .h264 ? 8 : 12)))
    }
}
