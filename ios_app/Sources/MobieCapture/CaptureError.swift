import Foundation

/// A camera, a clip or a recording cannot be used.
public enum CaptureError: LocalizedError, Sendable, Equatable {
    /// The user did not allow the camera.
    case notPermitted
    /// A profile or parental controls forbid the camera.
    case restricted
    /// There is no such camera.
    case noCamera
    /// The camera was taken away.
    case deviceLost
    /// The camera does not work as asked; what the system says.
    case configuration(String)
    /// The capture session broke; what the system says.
    case session(String)
    /// The camera was stopped while it was being started.
    case stopped
    /// A clip cannot be read; its name, and what the system says.
    case unreadable(String, String)
    /// A clip has no video.
    case noVideo(String)
    /// A recording cannot be written; what the system says.
    case unwritable(String)
    /// There is a file already.
    case exists(String)
    /// The recording has ended.
    case finished
    /// A recording without a frame.
    case empty

    public var errorDescription: String? {
        switch self {
        case .notPermitted: "The camera is not allowed for this app."
        case .restricted: "The camera is blocked on this device."
        case .noCamera: "There is no such camera."
        case .deviceLost: "The camera was disconnected."
        case .configuration(let what): "The camera does not work as asked: \(what)"
        case .session(let what): "The camera stopped: \(what)"
        case .stopped: "The camera was stopped before it ran."
        case .unreadable(let name, let what): "\(name) cannot be read: \(what)"
        case .noVideo(let name): "\(name) has no video."
        case .unwritable(let what): "The recording cannot be written: \(what)"
        case .exists(let name): "There is already a file \(name)."
        case .finished: "The recording has ended."
        case .empty: "Nothing was recorded."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .notPermitted: "Allow it in Settings, under Privacy and Camera."
        case .restricted: "Ask whoever manages the device."
        case .noCamera: "Choose another camera."
        case .deviceLost: "Connect it again, or choose another camera."
        case .configuration: "Ask for another frame rate or size."
        case .session, .stopped: "Start the camera again."
        case .unreadable: "Copy the clip again, or convert it to MP4 or QuickTime."
        case .noVideo: "Choose another clip."
        case .unwritable: "Free some space, or record to another place."
        case .exists: "Choose another name, or allow the file to be replaced."
        case .finished: "Start a new recording."
        case .empty: "Record for longer."
        }
    }
}
