// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

@_exported import CoreGraphics
@_exported import CoreMedia
@_exported import DarwinAdditions
import Foundation
import QuartzCore

/// https://developer.apple.com/documentation/avfoundation/avmediatype
@available(iOS 4.0, macOS 10.7, *)
public struct AVMediaType: Hashable, RawRepresentable, Sendable {
    /// https://developer.apple.com/documentation/avfoundation/avmediatype/video
    @available(iOS 4.0, macOS 10.7, *)
    public static var video: AVMediaType { fatalError() }
    public let rawValue: String
    public init(rawValue: String) { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus
@available(iOS 7.0, macOS 10.14, *)
public enum AVAuthorizationStatus: Int, Sendable {
    /// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus/notdetermined
    @available(iOS 7.0, macOS 10.14, *)
    case notDetermined = 0
    /// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus/restricted
    @available(iOS 7.0, macOS 10.14, *)
    case restricted = 1
    /// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus/denied
    @available(iOS 7.0, macOS 10.14, *)
    case denied = 2
    /// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus/authorized
    @available(iOS 7.0, macOS 10.14, *)
    case authorized = 3
}

/// https://developer.apple.com/documentation/avfoundation/avframeraterange
@available(iOS 7.0, macOS 10.7, *)
public class AVFrameRateRange: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avframeraterange/minframerate
    @available(iOS 7.0, macOS 10.7, *)
    public var minFrameRate: Double { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avframeraterange/maxframerate
    @available(iOS 7.0, macOS 10.7, *)
    public var maxFrameRate: Double { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avframeraterange/minframeduration
    @available(iOS 7.0, macOS 10.7, *)
    public var minFrameDuration: CMTime { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avframeraterange/maxframeduration
    @available(iOS 7.0, macOS 10.7, *)
    public var maxFrameDuration: CMTime { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avcapturedevice
@available(iOS 4.0, macOS 10.7, *)
// Not Sendable here, whatever it is there: code that does without holds either way.
public class AVCaptureDevice: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/authorizationstatus(for:)
    @available(iOS 7.0, macOS 10.14, *)
    public class func authorizationStatus(for mediaType: AVMediaType) -> AVAuthorizationStatus { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/requestaccess(for:completionhandler:)
    @available(iOS 7.0, macOS 10.14, *)
    public class func requestAccess(for mediaType: AVMediaType) async -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/default(_:for:position:)
    @available(iOS 10.0, macOS 10.15, *)
    public class func `default`(
        _ deviceType: DeviceType, for mediaType: AVMediaType?, position: Position
    ) -> AVCaptureDevice? { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/default(for:)
    @available(iOS 4.0, macOS 10.7, *)
    public class func `default`(for mediaType: AVMediaType) -> AVCaptureDevice? { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/wasdisconnectednotification
    @available(iOS 4.0, macOS 10.7, *)
    public class var wasDisconnectedNotification: NSNotification.Name { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/activeformat
    @available(iOS 7.0, macOS 10.7, *)
    public var activeFormat: Format {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/activevideominframeduration
    @available(iOS 7.0, macOS 10.7, *)
    public var activeVideoMinFrameDuration: CMTime {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/activevideomaxframeduration
    @available(iOS 7.0, macOS 10.9, *)
    public var activeVideoMaxFrameDuration: CMTime {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/lockforconfiguration()
    @available(iOS 4.0, macOS 10.7, *)
    public func lockForConfiguration() throws { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/unlockforconfiguration()
    @available(iOS 4.0, macOS 10.7, *)
    public func unlockForConfiguration() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.property
    @available(iOS 11.1, *)
    @available(macOS, unavailable)
    public var systemPressureState: SystemPressureState { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/devicetype-swift.struct
    @available(iOS 10.0, macOS 10.15, *)
    public struct DeviceType: Hashable, RawRepresentable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/devicetype-swift.struct/builtinwideanglecamera
        @available(iOS 10.0, macOS 10.15, *)
        public static var builtInWideAngleCamera: DeviceType { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/position-swift.enum
    @available(iOS 4.0, macOS 10.7, *)
    public enum Position: Int, Sendable {
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/position-swift.enum/back
        @available(iOS 4.0, macOS 10.7, *)
        case back = 1
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/position-swift.enum/front
        @available(iOS 4.0, macOS 10.7, *)
        case front = 2
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/format
    @available(iOS 7.0, macOS 10.7, *)
    public class Format: NSObject {
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/format/videosupportedframerateranges
        @available(iOS 7.0, macOS 10.7, *)
        public var videoSupportedFrameRateRanges: [AVFrameRateRange] { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/rotationcoordinator
    @available(iOS 17.0, macOS 14.0, *)
    public class RotationCoordinator: NSObject {
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/rotationcoordinator/init(device:previewlayer:)
        @available(iOS 17.0, macOS 14.0, *)
        public init(device: AVCaptureDevice, previewLayer: CALayer?) { fatalError() }
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/rotationcoordinator/videorotationangleforhorizonlevelcapture
        @available(iOS 17.0, macOS 14.0, *)
        public var videoRotationAngleForHorizonLevelCapture: CGFloat { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class
    @available(iOS 11.1, *)
    @available(macOS, unavailable)
    public class SystemPressureState: NSObject {
        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.property
        @available(iOS 11.1, *)
        @available(macOS, unavailable)
        public var level: Level { fatalError() }

        /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.struct
        @available(iOS 11.1, *)
        @available(macOS, unavailable)
        public struct Level: Hashable, RawRepresentable, Sendable {
            public let rawValue: String
            public init(rawValue: String) { fatalError() }
            /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.struct/nominal
            @available(iOS 11.1, *)
            @available(macOS, unavailable)
            public static var nominal: Level { fatalError() }
            /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.struct/fair
            @available(iOS 11.1, *)
            @available(macOS, unavailable)
            public static var fair: Level { fatalError() }
            /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.struct/serious
            @available(iOS 11.1, *)
            @available(macOS, unavailable)
            public static var serious: Level { fatalError() }
            /// https://developer.apple.com/documentation/avfoundation/avcapturedevice/systempressurestate-swift.class/level-swift.struct/critical
            @available(iOS 11.1, *)
            @available(macOS, unavailable)
            public static var critical: Level { fatalError() }
        }
    }
}
