import Foundation

/// A starter cannot do now what it is asked for.
public enum StartError: LocalizedError, Sendable, Equatable {
    /// The model is being started.
    case busy
    /// What cannot happen, and where the model is.
    case impossible(String, String)

    public var errorDescription: String? {
        switch self {
        case .busy: "The model is being started."
        case .impossible(let event, let state): "A model that is \(state) cannot take \(event)."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .busy: "Wait for the start that is going on, or cancel it."
        case .impossible: "Look at the starter's state first."
        }
    }
}
