// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/avfoundation/avasynchronouskeyvalueloading
@available(iOS 4.0, macOS 10.7, *)
public protocol AVAsynchronousKeyValueLoading {
}

/// https://developer.apple.com/documentation/avfoundation/avasynchronouskeyvalueloading
extension AVAsynchronousKeyValueLoading {
    /// https://developer.apple.com/documentation/avfoundation/avasynchronouskeyvalueloading/load(_:isolation:)
    @available(iOS 15.0, macOS 12.0, *)
    public func load<T>(_ property: AVAsyncProperty<Self, T>) async throws -> T { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty
@available(iOS 15.0, macOS 12.0, *)
public class AVPartialAsyncProperty<Root> {
    init() { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avasyncproperty
@available(iOS 15.0, macOS 12.0, *)
public class AVAsyncProperty<Root, Value>: AVPartialAsyncProperty<Root> {
}

/// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty
extension AVPartialAsyncProperty where Root: AVAsset {
    /// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty/duration
    @available(iOS 15.0, macOS 12.0, *)
    public static var duration: AVAsyncProperty<Root, CMTime> { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty
extension AVPartialAsyncProperty where Root: AVAssetTrack {
    /// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty/naturalsize
    @available(iOS 15.0, macOS 12.0, *)
    public static var naturalSize: AVAsyncProperty<Root, CGSize> { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty/preferredtransform-90jdn
    @available(iOS 15.0, macOS 12.0, *)
    public static var preferredTransform: AVAsyncProperty<Root, CGAffineTransform> { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avpartialasyncproperty/nominalframerate
    @available(iOS 15.0, macOS 12.0, *)
    public static var nominalFrameRate: AVAsyncProperty<Root, Float> { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avasset
@available(iOS 4.0, macOS 10.7, *)
// Not Sendable here, whatever it is there: code that does without holds either way.
public class AVAsset: NSObject, AVAsynchronousKeyValueLoading {
    /// https://developer.apple.com/documentation/avfoundation/avasset/loadtracks(withmediatype:completionhandler:)
    @available(iOS 15.0, macOS 12.0, *)
    public func loadTracks(withMediaType mediaType: AVMediaType) async throws -> [AVAssetTrack] { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avurlasset
@available(iOS 4.0, macOS 10.7, *)
public class AVURLAsset: AVAsset {
    /// https://developer.apple.com/documentation/avfoundation/avurlasset/init(url:options:)
    @available(iOS 4.0, macOS 10.7, *)
    public init(url URL: URL, options: [String: Any]? = nil) { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avassettrack
@available(iOS 4.0, macOS 10.7, *)
public class AVAssetTrack: NSObject, AVAsynchronousKeyValueLoading {
}

/// https://developer.apple.com/documentation/avfoundation/avassetreader
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetReader: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/init(asset:)
    @available(iOS 4.1, macOS 10.7, *)
    public init(asset: AVAsset) throws { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/canadd(_:)
    @available(iOS 4.1, macOS 10.7, *)
    public func canAdd(_ output: AVAssetReaderOutput) -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/add(_:)
    @available(iOS 4.1, macOS 10.7, *)
    public func add(_ output: AVAssetReaderOutput) { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/startreading()
    @available(iOS 4.1, macOS 10.7, *)
    public func startReading() -> Bool { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/cancelreading()
    @available(iOS 4.1, macOS 10.7, *)
    public func cancelReading() { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.property
    @available(iOS 4.1, macOS 10.7, *)
    public var status: Status { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/error
    @available(iOS 4.1, macOS 10.7, *)
    public var error: (any Error)? { fatalError() }
    /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum
    @available(iOS 4.1, macOS 10.7, *)
    public enum Status: Int, Sendable {
        /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum/unknown
        @available(iOS 4.1, macOS 10.7, *)
        case unknown = 0
        /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum/reading
        @available(iOS 4.1, macOS 10.7, *)
        case reading = 1
        /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum/completed
        @available(iOS 4.1, macOS 10.7, *)
        case completed = 2
        /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum/failed
        @available(iOS 4.1, macOS 10.7, *)
        case failed = 3
        /// https://developer.apple.com/documentation/avfoundation/avassetreader/status-swift.enum/cancelled
        @available(iOS 4.1, macOS 10.7, *)
        case cancelled = 4
    }
}

/// https://developer.apple.com/documentation/avfoundation/avassetreaderoutput
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetReaderOutput: NSObject {
    /// https://developer.apple.com/documentation/avfoundation/avassetreaderoutput/alwayscopiessampledata
    @available(iOS 5.0, macOS 10.8, *)
    public var alwaysCopiesSampleData: Bool {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/avfoundation/avassetreaderoutput/copynextsamplebuffer()
    @available(iOS 4.1, macOS 10.7, *)
    public func copyNextSampleBuffer() -> CMSampleBuffer? { fatalError() }
}

/// https://developer.apple.com/documentation/avfoundation/avassetreadertrackoutput
@available(iOS 4.1, macOS 10.7, *)
public class AVAssetReaderTrackOutput: AVAssetReaderOutput {
    /// https://developer.apple.com/documentation/avfoundation/avassetreadertrackoutput/init(track:outputsettings:)
    @available(iOS 4.1, macOS 10.7, *)
    public init(track: AVAssetTrack, outputSettings: [String: Any]?) { fatalError() }
}
