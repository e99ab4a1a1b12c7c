// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/avfoundation/avfiletype
@available(iOS 4.0, macOS 10.7, *)
public struct AVFileType: Hashable, RawRepresentable, Sendable {
    /// https://developer.apple.com/documentation/avfoundation/avfiletype/mp4
    @available(iOS 4.0, macOS 10.7, *)
    public static var mp4: AVFileType { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avfiletype/mov
    @available(iOS 4.0, macOS 10.7, *)
    public static var mov: AVFileType { fatalError() }
    public let rawValue: String
    public init(rawValue: String) { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avvideocodectype
@available(iOS 11.0, macOS 10.13, *)
public struct AVVideoCodecType: Hashable, RawRepresentable, Sendable {
    /// https://developer.apple.com/documentation/avfoundation/avvideocodectype/h264
    @available(iOS 11.0, macOS 10.13, *)
    public static var h264: AVVideoCodecType { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avvideocodectype/hevc
    @available(iOS 11.0, macOS 10.13, *)
    public static var hevc: AVVideoCodecType { fatalError() }
    public let rawValue: String
    public init(rawValue: String) { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avassetwriter
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetWriter: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/init(outputurl:filetype:)
    @available(iOS 4.1, macOS 10.7, *)
    public init(outputURL: URL, fileType outputFileType: AVFileType) throws { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/canadd(_:)-6al7j
    @available(iOS 4.1, macOS 10.7, *)
    public func canAdd(_ input: AVAssetWriterInput) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/add(_:)-4c4d0
    @available(iOS 4.1, macOS 10.7, *)
    public func add(_ input: AVAssetWriterInput) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/startwriting()
    @available(iOS 4.1, macOS 10.7, *)
    public func startWriting() -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/startsession(atsourcetime:)
    @available(iOS 4.1, macOS 10.7, *)
    public func startSession(atSourceTime startTime: CMTime) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/endsession(atsourcetime:)
    @available(iOS 4.1, macOS 10.7, *)
    public func endSession(atSourceTime endTime: CMTime) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/finishwriting(completionhandler:)
    @available(iOS 6.0, macOS 10.9, *)
    public func finishWriting(completionHandler handler: @escaping @Sendable () -> Void) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/cancelwriting()
    @available(iOS 4.1, macOS 10.7, *)
    public func cancelWriting() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.property
    @available(iOS 4.1, macOS 10.7, *)
    public var status: Status { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/error
    @available(iOS 4.1, macOS 10.7, *)
    public var error: (any Error)? { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum
    @available(iOS 4.1, macOS 10.7, *)
    public enum Status: Int, Sendable {
        /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum/unknown
        @available(iOS 4.1, macOS 10.7, *)
        case unknown = 0
        /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum/writing
        @available(iOS 4.1, macOS 10.7, *)
        case writing = 1
        /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum/completed
        @available(iOS 4.1, macOS 10.7, *)
        case completed = 2
        /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum/failed
        @available(iOS 4.1, macOS 10.7, *)
        case failed = 3
        /// https://developer.apple.com/documentation/avfoundation/avassetwriter/status-swift.enum/cancelled
        @available(iOS 4.1, macOS 10.7, *)
        case cancelled = 4
    }
}

/// https://developer.apple.com/documentation/avfoundation/avassetwriterinput
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetWriterInput: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinput/init(mediatype:outputsettings:)
    @available(iOS 4.1, macOS 10.7, *)
    public init(mediaType: AVMediaType, outputSettings: [String: Any]?) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinput/expectsmediadatainrealtime
    @available(iOS 4.1, macOS 10.7, *)
    public var expectsMediaDataInRealTime: Bool {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinput/isreadyformoremediadata
    @available(iOS 4.1, macOS 10.7, *)
    public var isReadyForMoreMediaData: Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinput/mediatimescale
    @available(iOS 4.3, macOS 10.7, *)
    public var mediaTimeScale: CMTimeScale {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinput/markasfinished()
    @available(iOS 4.1, macOS 10.7, *)
    public func markAsFinished() { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avassetwriterinputpixelbufferadaptor
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetWriterInputPixelBufferAdaptor: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinputpixelbufferadaptor/init(assetwriterinput:sourcepixelbufferattributes:)
    @available(iOS 4.1, macOS 10.7, *)
    public init(
        assetWriterInput input: AVAssetWriterInput, sourcePixelBufferAttributes: [String: Any]? = nil
    ) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetwriterinputpixelbufferadaptor/append(_:withpresentationtime:)
    @available(iOS 4.1, macOS 10.7, *)
    public func append(_ pixelBuffer: CVPixelBuffer, withPresentationTime presentationTime: CMTime) -> Bool {
        fatalError()
    }
}

/// https://developer.apple.com/documentation/avfoundation/avvideocodeckey
@available(iOS 4.0, macOS 10.7, *)
public var AVVideoCodecKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideowidthkey
@available(iOS 4.0, macOS 10.7, *)
public var AVVideoWidthKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideoheightkey
@available(iOS 4.0, macOS 10.7, *)
public var AVVideoHeightKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideocompressionpropertieskey
@available(iOS 4.0, macOS 10.7, *)
public var AVVideoCompressionPropertiesKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideoaveragebitratekey
@available(iOS 4.0, macOS 10.7, *)
public var AVVideoAverageBitRateKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideoexpectedsourceframeratekey
@available(iOS 7.0, macOS 10.10, *)
public var AVVideoExpectedSourceFrameRateKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideomaxkeyframeintervaldurationkey
@available(iOS 7.0, macOS 10.9, *)
public var AVVideoMaxKeyFrameIntervalDurationKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideoprofilelevelkey
@available(iOS 4.0, macOS 10.8, *)
public var AVVideoProfileLevelKey: String { fatalError() }

/// https://developer.apple.com/documentation/avfoundation/avvideoprofilelevelh264highautolevel
@available(iOS 7.0, macOS 10.9, *)
public var AVVideoProfileLevelH264HighAutoLevel: String { fatalError() }
