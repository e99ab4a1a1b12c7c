import MobieCore

/// What happens to a camera beside its frames.
public enum CaptureEvent: Sendable, Equatable {
    /// Another state.
    case state(CaptureLifecycle.State)
    /// The system gave no frame at one time, and why.
    case dropped(CaptureDrop)
    /// Frames are turned clockwise by these degrees from now on, so that they stay upright.
    case rotated(Double)
    /// The camera's system pressure.
    case pressure(PressureLevel)
}

/// Why the system dropped a camera's frame.
public enum CaptureDrop: String, Sendable, Codable, CaseIterable {
    /// The frame before it was still being handled.
    case late
    /// All buffers are held: frames are kept somewhere.
    case outOfBuffers
    /// The camera was reconfigured, or fell behind.
    case discontinuity
    /// The system gave no reason, or a new one.
    case unknown
}

/// Why the system took a camera away for a while.
public enum CaptureInterruption: String, Sendable, Codable, CaseIterable {
    /// The app went there.
    case background
    /// Another app has it.
    case inUse
    /// Several apps share the screen.
    case multitasking
    /// The device is too hot.
    case pressure
    /// The system gave no reason, or a new one.
    case unknown
}
