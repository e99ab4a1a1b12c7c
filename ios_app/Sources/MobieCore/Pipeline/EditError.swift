import Foundation

/// An edit was asked for that the model cannot make.
public enum EditError: LocalizedError, Sendable, Equatable {
    /// The prompt has nothing but spaces.
    case emptyPrompt
    /// A guidance scale is no number or outside the model's range.
    case scaleOutOfRange(name: String, value: Double, minimum: Double, maximum: Double)
    /// The model folder lacks components.
    case incomplete([ComponentName])
    /// The manifest asks for more latents than any device edits.
    case tooManyLatents(Int)
    /// Noise of this stream would lie beyond 2^64.
    case noiseStreamOutOfRange
    /// Nothing was asked for yet.
    case noInstruction
    /// The session has ended.
    case stopped
    /// The backend gave another number of latents than the manifest says.
    case latentsMismatch(found: Int, expected: Int)

    public var errorDescription: String? {
        switch self {
        case .emptyPrompt: "The prompt is empty."
        case .scaleOutOfRange(let name, let value, _, _): "The \(name) guidance \(value) is out of range."
        case .incomplete(let names): "The model lacks \(names.map(\.rawValue).joined(separator: ", "))."
        case .tooManyLatents(let count): "The model has \(count) latents a frame, more than can be edited."
        case .noiseStreamOutOfRange: "The noise stream of this frame is beyond 2^64."
        case .noInstruction: "Nothing was asked for yet."
        case .stopped: "The session was stopped."
        case .latentsMismatch(let found, let expected):
            "The model gave \(found) latents where its manifest says \(expected)."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .emptyPrompt, .noInstruction: "Say what to change: make it snow."
        case .scaleOutOfRange(_, _, let minimum, let maximum): "This model takes \(minimum) to \(maximum)."
        case .incomplete: "Convert the whole checkpoint."
        case .tooManyLatents: "Convert the checkpoint for smaller frames."
        case .stopped: "Start a new one."
        case .latentsMismatch: "Convert the checkpoint again."
        case .noiseStreamOutOfRange: "Start a new session, or keep the noise fixed."
        }
    }
}

/// A stage failed on a frame; the frames after it go on.
public struct FrameFailure: LocalizedError, Sendable {
    /// Number of the frame.
    public let frame: Int
    /// Where it failed.
    public let stage: FrameGate.Stage
    /// What the backend threw.
    public let cause: any Error

    public var errorDescription: String? { "The \(stage) failed on frame \(frame): \(cause.localizedDescription)" }
    public var recoverySuggestion: String? { (cause as? any LocalizedError)?.recoverySuggestion }
}
