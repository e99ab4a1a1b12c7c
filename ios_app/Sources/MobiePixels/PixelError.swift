import Foundation
import MobieCore

/// A pixel buffer cannot be made or used.
public enum PixelError: LocalizedError, Sendable, Equatable {
    /// The system gave no buffer; the code is Core Video's.
    case noBuffers(Int32)
    /// The buffer has another pixel format than 8-bit BGRA.
    case format(UInt32)
    /// The frame has another size than the model takes.
    case size(found: FrameSize, expected: FrameSize)
    /// The buffer's memory cannot be reached, or an image does not fit it.
    case unreadable

    public var errorDescription: String? {
        switch self {
        case .noBuffers(let code): "There is no buffer for a frame (Core Video says \(code))."
        case .format(let code): "A frame has the pixel format '\(Self.characters(of: code))'."
        case .size(let found, let expected):
            "A frame is \(found.width)x\(found.height) pixels where \(expected.width)x\(expected.height) are taken."
        case .unreadable: "A frame's pixels cannot be reached."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .noBuffers: "Let go of frames that are no longer shown, or edit fewer at once."
        case .format: "Give frames of 8-bit BGRA (kCVPixelFormatType_32BGRA)."
        case .size: "Fit frames to the model with a FrameFitter."
        case .unreadable: "Give frames of the size that was planned."
        }
    }

    /// The four characters of a code; its number where they cannot be printed.
    private static func characters(of code: UInt32) -> String {
        let bytes = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: code >> UInt32($0)) }
        guard bytes.allSatisfy({ (0x20..<0x7F).contains($0) }) else { return String(code) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
