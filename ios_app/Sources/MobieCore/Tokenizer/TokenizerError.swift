import Foundation

/// A tokenizer's file is broken, or a prompt does not fit.
public enum TokenizerError: LocalizedError, Sendable, Equatable {
    /// A file is missing or the system refuses to read it.
    case unreadable(file: String)
    /// A file is not what CLIP's format asks for.
    case damaged(file: String, problem: String)
    /// A prompt needs more ids than the model takes, start and end included.
    case tooLong(count: Int, positions: Int)

    public var errorDescription: String? {
        switch self {
        case .unreadable(let file): "\(file) is missing or cannot be read."
        case .damaged(let file, let problem): "\(file) is damaged: \(problem)."
        case .tooLong(let count, let positions):
            "The prompt needs \(count) tokens, and \(positions) fit (start and end included)."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .unreadable, .damaged: "Convert the checkpoint again, or copy the model folder again."
        case .tooLong: "Shorten it."
        }
    }
}
