#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore

    /// A capture session with one camera and one output, and what is observed of them. Its actor's own.
    final class CameraSession {
        /// What a session tells its owner.
        struct Notice: Sendable {
            enum What: Sendable {
                case event(CaptureLifecycle.Event)
                case angle(Double)
                case pressure(PressureLevel)
            }

            /// Which session: notices of one that is gone may still be on their way.
            let session: UUID
            let what: What
        }

        /// Tells sessions apart.
        let id = UUID()
        private let session = AVCaptureSession()
        private let device: AVCaptureDevice
        private let output = AVCaptureVideoDataOutput()
        private let delegate: FrameOutput
        private let rotation: AVCaptureDevice.RotationCoordinator
        private var observations: [NSKeyValueObservation] = []
        private var observers = NotificationObservers()

        /// A session that is configured and not started.
        ///
        /// - Throws: `CaptureError`.
        init(
            _ settings: CameraCapture.Settings, _ delegate: FrameOutput, _ tell: @escaping @Sendable (Notice) -> Void
        ) throws(CaptureError) {
            guard let device = Self.device(settings.position) else { throw .noCamera }
            self.device = device
            self.delegate = delegate
            rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)
            try configure(settings.size)
            // The session chose the camera's format when it was committed.
            try setFrameRate(settings.frameRate)
            _ = rotate(to: Double(rotation.videoRotationAngleForHorizonLevelCapture))
            observe(tell)
        }

        /// Starts the session; blocks its thread until it runs.
        func start() {
            session.startRunning()
        }

        /// Stops the session.
        func stop() {
            observers = NotificationObservers()
            observations = []
            session.stopRunning()
            output.setSampleBufferDelegate(nil, queue: nil)
        }

        /// Turns frames clockwise; false where the camera cannot.
        func rotate(to degrees: Double) -> Bool {
            guard let connection = output.connection(with: .video),
                connection.isVideoRotationAngleSupported(CGFloat(degrees))
            else { return false }
            connection.videoRotationAngle = CGFloat(degrees)
            return true
        }

        private static func device(_ position: CameraCapture.Settings.Position) -> AVCaptureDevice? {
            switch position {
            case .front: AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .front)
            case .back: AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back)
            case .any: AVCaptureDevice.default(for: .video)
            }
        }

        private func configure(_ size: FrameSize) throws(CaptureError) {
            session.beginConfiguration()
            defer { session.commitConfiguration() }
            try addInput()
            try addOutput()
            choosePreset(size)
        }

        private func addInput() throws(CaptureError) {
            let input: AVCaptureDeviceInput
            do {
                input = try AVCaptureDeviceInput(device: device)
            } catch {
                throw .configuration(error.localizedDescription)
            }
            guard session.canAddInput(input) else { throw .configuration("its frames cannot be taken.") }
            session.addInput(input)
        }

        private func addOutput() throws(CaptureError) {
            output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(delegate, queue: DispatchQueue(label: "mobie.camera.frames"))
            guard session.canAddOutput(output) else { throw .configuration("it gives no 8-bit BGRA.") }
            session.addOutput(output)
        }

        /// The smallest preset whose frames cover the wanted size; what the camera has where none does.
        private func choosePreset(_ size: FrameSize) {
            let presets: [(preset: AVCaptureSession.Preset, long: Int, short: Int)] = [
                (.vga640x480, 640, 480), (.hd1280x720, 1280, 720), (.hd1920x1080, 1920, 1080),
            ]
            let (long, short) = (max(size.width, size.height), min(size.width, size.height))
            let fitting = presets.first {
                $0.long >= long && $0.short >= short && session.canSetSessionPreset($0.preset)
            }
            session.sessionPreset = fitting?.preset ?? .high
        }

        private func setFrameRate(_ wanted: Double) throws(CaptureError) {
            let ranges = device.activeFormat.videoSupportedFrameRateRanges
            let choice = ranges.map { FrameRateRange(minimum: $0.minFrameRate, maximum: $0.maxFrameRate) }
                .nearest(to: wanted)
            guard let choice else { return }
            do {
                try device.lockForConfiguration()
            } catch {
                throw .configuration(error.localizedDescription)
            }
            defer { device.unlockForConfiguration() }
            // A duration outside the range ends the program: at its ends the range's own are taken.
            let range = ranges[choice.range]
            let duration: CMTime
            switch choice.end {
            case .maximum: duration = range.minFrameDuration
            case .minimum: duration = range.maxFrameDuration
            case nil: duration = CMTime(nanoseconds: Int64((1e9 / choice.rate).rounded()))
            }
            device.activeVideoMinFrameDuration = duration
            device.activeVideoMaxFrameDuration = duration
        }

        private func observe(_ tell: @escaping @Sendable (Notice) -> Void) {
            let id = id
            func listen(
                _ name: Notification.Name, _ object: AnyObject,
                _ event: @escaping @Sendable (Notification) -> CaptureLifecycle.Event
            ) {
                observers.add(name, object) { tell(Notice(session: id, what: .event(event($0)))) }
            }
            listen(AVCaptureSession.wasInterruptedNotification, session) { .interrupt(Self.interruption($0)) }
            listen(AVCaptureSession.interruptionEndedNotification, session) { _ in .interruptionEnded }
            listen(AVCaptureSession.runtimeErrorNotification, session) { notification in
                let error = notification.userInfo?[AVCaptureSessionErrorKey] as? any Error
                return .broke(error?.localizedDescription ?? "no reason was given.")
            }
            listen(AVCaptureDevice.wasDisconnectedNotification, device) { _ in .lost }
            let angle = rotation.observe(\.videoRotationAngleForHorizonLevelCapture, options: [.new]) { _, change in
                if let degrees = change.newValue { tell(Notice(session: id, what: .angle(Double(degrees)))) }
            }
            observations.append(angle)
            #if os(iOS) || MOBIE_STUB_IOS
                let pressure = device.observe(\.systemPressureState, options: [.initial, .new]) { device, _ in
                    let level = PressureLevel(device.systemPressureState.level)
                    tell(Notice(session: id, what: .pressure(level)))
                }
                observations.append(pressure)
            #endif
        }

        private static func interruption(_ notification: Notification) -> CaptureInterruption {
            #if os(iOS) || MOBIE_STUB_IOS
                let number = notification.userInfo?[AVCaptureSessionInterruptionReasonKey] as? NSNumber
                guard let reason = number.flatMap({ AVCaptureSession.InterruptionReason(rawValue: $0.intValue) }) else {
                    return .unknown
                }
                return CaptureInterruption(reason)
            #else
                // macOS gives no reasons.
                return .unknown
            #endif
        }
    }

    /// Observers of notifications that end with this value.
    final class NotificationObservers {
        private var tokens: [any NSObjectProtocol] = []

        func add(
            _ name: Notification.Name, _ object: AnyObject, _ hear: @escaping @Sendable (Notification) -> Void
        ) {
            tokens.append(
                NotificationCenter.default.addObserver(forName: name, object: object, queue: nil, using: hear))
        }

        deinit {
            for token in tokens { NotificationCenter.default.removeObserver(token) }
        }
    }

    #if os(iOS) || MOBIE_STUB_IOS
        extension CaptureInterruption {
            /// AVFoundation's reason.
            init(_ reason: AVCaptureSession.InterruptionReason) {
                switch reason {
                case .videoDeviceNotAvailableInBackground: self = .background
                case .videoDeviceInUseByAnotherClient: self = .inUse
                case .videoDeviceNotAvailableWithMultipleForegroundApps: self = .multitasking
                case .videoDeviceNotAvailableDueToSystemPressure: self = .pressure
                default: self = .unknown
                }
            }
        }

        extension PressureLevel {
            /// AVFoundation's level; one that is not known here counts as the worst.
            init(_ level: AVCaptureDevice.SystemPressureState.Level) {
                switch level {
                case .nominal: self = .nominal
                case .fair: self = .fair
                case .serious: self = .serious
                case .critical: self = .critical
                default: self = .shutdown
                }
            }
        }
    #endif
#endif
