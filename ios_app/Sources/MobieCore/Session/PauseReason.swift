/// Why a session takes no frames.
public enum PauseReason: String, Sendable, Codable, CaseIterable {
    /// A person asked for it.
    case requested
    /// The app went to the background, or the camera was taken away.
    case interrupted
    /// The system asked for memory.
    case memory
}
