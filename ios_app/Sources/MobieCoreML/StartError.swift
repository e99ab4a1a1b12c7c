import Foundation

/// A starter cannot do now what it is asked for.
public enum StartError: LocalizedError, Sendable, Equatable {
    /// The model is being started.
    case busy
    /// A model that rests cannot be started.
    case suspended
    /// A model that does not rest cannot be resumed.
    case notSuspended

    public var errorDescription: String? {
        switch self {
        case .busy: "The model is being started."
        case .suspended: "The model is suspended."
        case .notSuspended: "The model is not suspended."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .busy: "Wait for the start that is going on, or cancel it."
        case .suspended: "Resume it."
        case .notSuspended: "Start it."
        }
    }
}
