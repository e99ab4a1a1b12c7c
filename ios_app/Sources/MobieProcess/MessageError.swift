import Foundation

/// Bytes are no message of the protocol; there is no way to find the next one.
public struct MessageError: LocalizedError, Sendable, Equatable {
    /// What kind of mistake it is.
    public enum Fault: String, Sendable {
        /// It does not start like a message.
        case garbage
        /// Of another version of the protocol.
        case version
        /// Of an unknown kind, or of one that this side does not take.
        case kind
        /// Larger than a message may be.
        case tooLarge
        /// The stream ends inside of it.
        case truncated
        /// Its body has not the form of one.
        case form
    }

    /// What kind of mistake it is.
    public let fault: Fault
    /// What is wrong.
    public let problem: String

    public var errorDescription: String? { "A message is not one: \(problem)." }

    public var recoverySuggestion: String? {
        switch fault {
        case .garbage: "Nothing but the protocol may be written to this pipe."
        case .version, .kind, .form: "Use the same version of mobie on both sides."
        case .tooLarge: "Messages hold at most \(Message.maximumBodyBytes >> 20) MiB: use smaller frames."
        case .truncated: "The other side ended early: see what it said."
        }
    }
}
