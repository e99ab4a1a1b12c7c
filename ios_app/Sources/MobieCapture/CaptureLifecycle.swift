/// Where a camera is on its way from nothing to frames.
///
/// Told what happened, it says what to do next. An event that cannot happen in a state changes nothing, so that
/// notifications of a session that is gone have no effect.
public struct CaptureLifecycle: Sendable, Equatable {
    /// Where a camera is.
    public enum State: Sendable, Equatable {
        /// Nothing was asked for, or it was stopped.
        case idle
        /// The user is asked.
        case asking
        /// The session is made.
        case configuring
        /// Frames come.
        case running
        /// The system took the camera, and may give it back.
        case interrupted(CaptureInterruption)
        /// It can be started again.
        case failed(CaptureError)

        /// Whether nothing more comes from the camera for now.
        public var endsRecordings: Bool {
            switch self {
            case .interrupted, .failed, .idle: true
            case .asking, .configuring, .running: false
            }
        }
    }

    /// What happened.
    public enum Event: Sendable, Equatable {
        /// Somebody wants frames.
        case start
        /// The user allows the camera.
        case permitted
        /// The user does not, or the camera does not work as asked.
        case refused(CaptureError)
        /// The session runs.
        case configured
        /// The system takes the camera.
        case interrupt(CaptureInterruption)
        /// The system gives it back.
        case interruptionEnded
        /// The session broke; the system's media services may have been reset.
        case broke(String)
        /// The camera was disconnected.
        case lost
        /// Nobody wants frames any more.
        case stop
    }

    /// What the host has to do.
    public enum Effect: Sendable, Equatable {
        /// Ask the user, where that was not done before.
        case askPermission
        /// Make a session and start it.
        case configure
        /// Start the session that is there once more.
        case restart
        /// Stop the session and let go of it.
        case tearDown
    }

    /// Restarts of one session after errors, at most.
    static let maximumRestarts = 3

    /// Where the camera is.
    public private(set) var state = State.idle
    private var restarts = 0

    /// No camera.
    public init() {}

    /// Takes an event and answers what to do; nothing where the event cannot happen now.
    public mutating func handle(_ event: Event) -> [Effect] {
        switch (state, event) {
        case (.idle, .start), (.failed, .start):
            restarts = 0
            state = .asking
            return [.askPermission]
        case (.asking, .permitted):
            state = .configuring
            return [.configure]
        case (.asking, .refused(let error)), (.configuring, .refused(let error)):
            state = .failed(error)
            return [.tearDown]
        case (.configuring, .configured), (.interrupted, .interruptionEnded):
            state = .running
            return []
        case (.running, .interrupt(let reason)), (.interrupted, .interrupt(let reason)),
            (.configuring, .interrupt(let reason)):
            state = .interrupted(reason)
            return []
        case (.running, .broke(let what)), (.interrupted, .broke(let what)):
            if restarts < Self.maximumRestarts {
                restarts += 1
                return [.restart]
            }
            state = .failed(.session(what))
            return [.tearDown]
        case (.running, .lost), (.interrupted, .lost), (.configuring, .lost):
            state = .failed(.deviceLost)
            return [.tearDown]
        case (.asking, .stop), (.configuring, .stop), (.running, .stop), (.interrupted, .stop), (.failed, .stop):
            state = .idle
            return [.tearDown]
        default: return []
        }
    }
}
