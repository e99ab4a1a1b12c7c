// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/avfoundation/avcaptureinput
@available(iOS 4.0, macOS 10.7, *)
public class AVCaptureInput: NSObject {
}

/// https://developer.apple.com/documentation/avfoundation/avcapturedeviceinput
@available(iOS 4.0, macOS 10.7, *)
public class AVCaptureDeviceInput: AVCaptureInput {
    /// https://developer.apple.com/documentation/avfoundation/avcapturedeviceinput/init(device:)
    @available(iOS 4.0, macOS 10.7, *)
    public init(device: AVCaptureDevice) throws { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avcaptureconnection
@available(iOS 4.0, macOS 10.7, *)
public class AVCaptureConnection: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avcaptureconnection/isvideorotationanglesupported(_:)
    @available(iOS 17.0, macOS 14.0, *)
    public func isVideoRotationAngleSupported(_ videoRotationAngle: CGFloat) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcaptureconnection/videorotationangle
    @available(iOS 17.0, macOS 14.0, *)
    public var videoRotationAngle: CGFloat {
        get { fatalError() }
        set { fatalError() }
    }
}

/// https://developer.apple.com/documentation/avfoundation/avcaptureoutput
@available(iOS 4.0, macOS 10.7, *)
public class AVCaptureOutput: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avcaptureoutput/connection(with:)
    @available(iOS 5.0, macOS 10.7, *)
    public func connection(with mediaType: AVMediaType) -> AVCaptureConnection? { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput
@available(iOS 4.0, macOS 10.7, *)
public class AVCaptureVideoDataOutput: AVCaptureOutput {
    /// https://developer.apple.com/documentation/objectivec/nsobject-swift.class/init()
    @available(iOS 2.0, macOS 10.0, *)
    public override init() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput/videosettings
    @available(iOS 4.0, macOS 10.7, *)
    public var videoSettings: [String: Any]! {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput/alwaysdiscardslatevideoframes
    @available(iOS 4.0, macOS 10.7, *)
    public var alwaysDiscardsLateVideoFrames: Bool {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput/setsamplebufferdelegate(_:queue:)
    @available(iOS 4.0, macOS 10.7, *)
    public func setSampleBufferDelegate(
        _ sampleBufferDelegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?,
        queue sampleBufferCallbackQueue: DispatchQueue?
    ) { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutputsamplebufferdelegate
@available(iOS 4.0, macOS 10.7, *)
// Apple's methods are optional, which Swift for Linux does not have: both must be there.
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    /// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutputsamplebufferdelegate/captureoutput(_:didoutput:from:)
    @available(iOS 4.0, macOS 10.7, *)
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
    /// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutputsamplebufferdelegate/captureoutput(_:diddrop:from:)
    @available(iOS 6.0, macOS 10.7, *)
    func captureOutput(
        _ output: AVCaptureOutput, didDrop sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}

/// https://developer.apple.com/documentation/avfoundation/avcapturesession
@available(iOS 4.0, macOS 10.7, *)
// Not Sendable here, whatever it is there: code that does without holds either way.
public class AVCaptureSession: NSObject {
    /// https://developer.apple.com/documentation/objectivec/nsobject-swift.class/init()
    @available(iOS 2.0, macOS 10.0, *)
    public override init() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/beginconfiguration()
    @available(iOS 4.0, macOS 10.7, *)
    public func beginConfiguration() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/commitconfiguration()
    @available(iOS 4.0, macOS 10.7, *)
    public func commitConfiguration() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/canaddinput(_:)
    @available(iOS 4.0, macOS 10.7, *)
    public func canAddInput(_ input: AVCaptureInput) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/addinput(_:)
    @available(iOS 4.0, macOS 10.7, *)
    public func addInput(_ input: AVCaptureInput) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/canaddoutput(_:)
    @available(iOS 4.0, macOS 10.7, *)
    public func canAddOutput(_ output: AVCaptureOutput) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/addoutput(_:)
    @available(iOS 4.0, macOS 10.7, *)
    public func addOutput(_ output: AVCaptureOutput) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/cansetsessionpreset(_:)
    @available(iOS 4.0, macOS 10.7, *)
    public func canSetSessionPreset(_ preset: Preset) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/sessionpreset
    @available(iOS 4.0, macOS 10.7, *)
    public var sessionPreset: Preset {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/startrunning()
    @available(iOS 4.0, macOS 10.7, *)
    public func startRunning() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/stoprunning()
    @available(iOS 4.0, macOS 10.7, *)
    public func stopRunning() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/wasinterruptednotification
    @available(iOS 4.0, macOS 10.14, *)
    public class var wasInterruptedNotification: NSNotification.Name { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionendednotification
    @available(iOS 4.0, macOS 10.14, *)
    public class var interruptionEndedNotification: NSNotification.Name { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/runtimeerrornotification
    @available(iOS 4.0, macOS 10.7, *)
    public class var runtimeErrorNotification: NSNotification.Name { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/preset
    @available(iOS 4.0, macOS 10.7, *)
    public struct Preset: Hashable, RawRepresentable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/preset/high
        @available(iOS 4.0, macOS 10.7, *)
        public static var high: Preset { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/preset/vga640x480
        @available(iOS 4.0, macOS 10.7, *)
        public static var vga640x480: Preset { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/preset/hd1280x720
        @available(iOS 4.0, macOS 10.7, *)
        public static var hd1280x720: Preset { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/preset/hd1920x1080
        @available(iOS 4.0, macOS 10.15, *)
        public static var hd1920x1080: Preset { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason
    @available(iOS 9.0, *)
    @available(macOS, unavailable)
    public enum InterruptionReason: Int, Sendable {
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason/videodevicenotavailableinbackground
        @available(iOS 9.0, *)
        @available(macOS, unavailable)
        case videoDeviceNotAvailableInBackground = 1
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason/audiodeviceinusebyanotherclient
        @available(iOS 9.0, *)
        @available(macOS, unavailable)
        case audioDeviceInUseByAnotherClient = 2
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason/videodeviceinusebyanotherclient
        @available(iOS 9.0, *)
        @available(macOS, unavailable)
        case videoDeviceInUseByAnotherClient = 3
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason/videodevicenotavailablewithmultipleforegroundapps
        @available(iOS 9.0, *)
        @available(macOS, unavailable)
        case videoDeviceNotAvailableWithMultipleForegroundApps = 4
        /// https://developer.apple.com/documentation/avfoundation/avcapturesession/interruptionreason/videodevicenotavailableduetosystempressure
        @available(iOS 11.1, *)
        @available(macOS, unavailable)
        case videoDeviceNotAvailableDueToSystemPressure = 5
    }
}

/// https://developer.apple.com/documentation/avfoundation/avcapturesessionerrorkey
@available(iOS 4.0, macOS 10.7, *)
public var AVCaptureSessionErrorKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avcapturesessioninterruptionreasonkey
@available(iOS 9.0, *)
@available(macOS, unavailable)
public var AVCaptureSessionInterruptionReasonKey: String { fatalError() }
