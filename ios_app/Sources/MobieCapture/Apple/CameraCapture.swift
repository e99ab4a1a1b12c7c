#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore

    /// A camera: asks for permission, gives frames of 8-bit BGRA, the newest only, and says what happens to it.
    ///
    /// Frames are turned upright by the system as the device is turned. Let go of them soon: the camera has few
    /// buffers, and gives no frames while all are held (`CaptureDrop.outOfBuffers`).
    public actor CameraCapture {
        /// Which camera, and how.
        public struct Settings: Sendable, Equatable {
            /// Where cameras are; a Mac knows no position.
            public enum Position: String, Sendable, Codable, CaseIterable {
                /// Towards the user.
                case front
                /// Away from the user.
                case back
                /// The system's choice, such as a Mac's own camera.
                case any
            }

            /// Which camera.
            public var position: Position
            /// Frames a second.
            public var frameRate: Double
            /// The smallest frames that will do; the camera's next larger size is taken.
            public var size: FrameSize

            /// Settings; what is left out is the back camera at 30 frames a second, as small as it goes.
            public init(
                position: Position = .back, frameRate: Double = 30, size: FrameSize = FrameSize(width: 640, height: 480)
            ) {
                (self.position, self.frameRate, self.size) = (position, frameRate, size)
            }
        }

        /// Frames, for one reader; one waits for it, a newer one takes its place. Cancelling the task that reads ends them:
        /// make a new camera then.
        public nonisolated let frames: AsyncStream<CapturedFrame>

        private let settings: Settings
        private let delivered: AsyncStream<CapturedFrame>.Continuation
        private let queue = DispatchSerialQueue(label: "mobie.camera.session")
        private var lifecycle = CaptureLifecycle()
        private var session: CameraSession?
        private var listeners: [UUID: AsyncStream<CaptureEvent>.Continuation] = [:]
        private var starts = 0

        /// The camera's own queue: starting a session blocks its thread.
        public nonisolated var unownedExecutor: UnownedSerialExecutor {
            queue.asUnownedSerialExecutor()
        }

        /// A camera that is not started yet.
        public init(_ settings: Settings = Settings()) {
            self.settings = settings
            (frames, delivered) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        }

        deinit {
            delivered.finish()
            for listener in listeners.values { listener.finish() }
        }

        /// Where the camera is.
        public var state: CaptureLifecycle.State { lifecycle.state }

        /// What happens from now on; every caller gets all of it, at most 64 events late.
        public func events() -> AsyncStream<CaptureEvent> {
            let (stream, continuation) = AsyncStream.makeStream(
                of: CaptureEvent.self, bufferingPolicy: .bufferingNewest(64))
            let id = UUID()
            listeners[id] = continuation
            continuation.onTermination = { [weak self] _ in
                Task { await self?.forget(id) }
            }
            return stream
        }

        /// Asks for permission where that was not done, and starts the camera; nothing where it was started.
        ///
        /// - Throws: `CaptureError`; `.stopped` where `stop()` came first.
        public func start() async throws(CaptureError) {
            guard handle(.start).contains(.askPermission) else { return }
            starts += 1
            let number = starts
            let refusal = await Self.permission()
            // The camera may have been stopped, or started again, while the user thought about it.
            guard number == starts, lifecycle.state == .asking else { throw .stopped }
            if let refusal {
                handle(.refused(refusal))
                throw refusal
            }
            guard handle(.permitted).contains(.configure) else { throw .stopped }
            do {
                session = try CameraSession(settings, output(), listener())
                session?.start()
                handle(.configured)
            } catch {
                handle(.refused(error))
                throw error
            }
        }

        /// Stops the camera; it can be started again.
        public func stop() {
            handle(.stop)
        }

        private static nonisolated func permission() async -> CaptureError? {
            switch AVCaptureDevice.authorizationStatus(for: .video) {
            case .authorized: nil
            case .notDetermined: await AVCaptureDevice.requestAccess(for: .video) ? nil : .notPermitted
            case .restricted: .restricted
            case .denied: .notPermitted
            @unknown default: .notPermitted
            }
        }

        private func output() -> FrameOutput {
            FrameOutput { [weak self, delivered] delivery in
                switch delivery {
                case .frame(let frame):
                    delivered.yield(frame)
                case .drop(let reason):
                    Task { await self?.report(.dropped(reason)) }
                }
            }
        }

        private func listener() -> @Sendable (CameraSession.Notice) -> Void {
            { [weak self] notice in
                Task { await self?.hear(notice) }
            }
        }

        private func hear(_ notice: CameraSession.Notice) {
            guard session?.id == notice.session else { return }
            switch notice.what {
            case .event(let event): handle(event)
            case .angle(let degrees):
                if session?.rotate(to: degrees) == true { report(.rotated(degrees)) }
            case .pressure(let level): report(.pressure(level))
            }
        }

        @discardableResult
        private func handle(_ event: CaptureLifecycle.Event) -> [CaptureLifecycle.Effect] {
            let before = lifecycle.state
            let effects = lifecycle.handle(event)
            if effects.contains(.tearDown) {
                session?.stop()
                session = nil
            }
            if effects.contains(.restart) { session?.start() }
            if lifecycle.state != before { report(.state(lifecycle.state)) }
            return effects
        }

        private func report(_ event: CaptureEvent) {
            for listener in listeners.values { listener.yield(event) }
        }

        private func forget(_ id: UUID) {
            listeners[id] = nil
        }
    }
#endif
