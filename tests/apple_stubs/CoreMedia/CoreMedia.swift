// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

@_exported import CoreVideo
import Foundation

/// https://developer.apple.com/documentation/coremedia/cmtimescale
@available(iOS 4.0, macOS 10.7, *)
public typealias CMTimeScale = Int32

/// https://developer.apple.com/documentation/coremedia/cmtimevalue
@available(iOS 4.0, macOS 10.7, *)
public typealias CMTimeValue = Int64

/// https://developer.apple.com/documentation/coremedia/cmtime
@available(iOS 4.0, macOS 10.7, *)
public struct CMTime: Sendable {
    /// https://developer.apple.com/documentation/coremedia/cmtime/init(value:timescale:)
    @available(iOS 4.0, macOS 10.7, *)
    public init(value: CMTimeValue, timescale: CMTimeScale) { fatalError() }
    /// https://developer.apple.com/documentation/coremedia/cmtime/value
    @available(iOS 4.0, macOS 10.7, *)
    public var value: CMTimeValue
    /// https://developer.apple.com/documentation/coremedia/cmtime/isnumeric
    @available(iOS 4.0, macOS 10.7, *)
    public var isNumeric: Bool { fatalError() }
    /// https://developer.apple.com/documentation/coremedia/cmtime/zero
    @available(iOS 4.0, macOS 10.7, *)
    public static var zero: CMTime { fatalError() }
}

/// https://developer.apple.com/documentation/coremedia/cmtimeroundingmethod
@available(iOS 4.0, macOS 10.7, *)
public enum CMTimeRoundingMethod: UInt32, Sendable {
    /// https://developer.apple.com/documentation/coremedia/cmtimeroundingmethod/roundhalfawayfromzero
    @available(iOS 4.0, macOS 10.7, *)
    case roundHalfAwayFromZero = 1
}

/// https://developer.apple.com/documentation/coremedia/cmtimeconvertscale(_:timescale:method:)
@available(iOS 4.0, macOS 10.7, *)
public func CMTimeConvertScale(
    _ time: CMTime, timescale newTimescale: CMTimeScale, method: CMTimeRoundingMethod
) -> CMTime { fatalError() }

/// https://developer.apple.com/documentation/coremedia/cmsamplebuffer
@available(iOS 4.0, macOS 10.7, *)
// Not Sendable: the documentation names no such conformance.
public class CMSampleBuffer {}

/// https://developer.apple.com/documentation/coremedia/cmsamplebuffergetimagebuffer(_:)
@available(iOS 4.0, macOS 10.7, *)
public func CMSampleBufferGetImageBuffer(_ sbuf: CMSampleBuffer) -> CVImageBuffer? { fatalError() }

/// https://developer.apple.com/documentation/coremedia/cmsamplebuffergetpresentationtimestamp(_:)
@available(iOS 4.0, macOS 10.7, *)
public func CMSampleBufferGetPresentationTimeStamp(_ sbuf: CMSampleBuffer) -> CMTime { fatalError() }

/// https://developer.apple.com/documentation/coremedia/cmattachmentbearer
@available(iOS 4.0, macOS 10.7, *)
public typealias CMAttachmentBearer = AnyObject

/// https://developer.apple.com/documentation/coremedia/cmattachmentmode
@available(iOS 4.0, macOS 10.7, *)
public typealias CMAttachmentMode = UInt32

/// https://developer.apple.com/documentation/coremedia/cmgetattachment(_:key:attachmentmodeout:)
@available(iOS 4.0, macOS 10.7, *)
// Apple's gives an AnyObject (CFTypeRef), whose strings become String by `as?`.
public func CMGetAttachment(
    _ target: CMAttachmentBearer, key: CFString, attachmentModeOut: UnsafeMutablePointer<CMAttachmentMode>?
) -> Any? { fatalError() }

/// https://developer.apple.com/documentation/coremedia/kcmsamplebufferattachmentkey_droppedframereason
@available(iOS 6.0, macOS 10.9, *)
public var kCMSampleBufferAttachmentKey_DroppedFrameReason: CFString { fatalError() }

/// https://developer.apple.com/documentation/coremedia/kcmsamplebufferdroppedframereason_framewaslate
@available(iOS 6.0, macOS 10.9, *)
public var kCMSampleBufferDroppedFrameReason_FrameWasLate: CFString { fatalError() }

/// https://developer.apple.com/documentation/coremedia/kcmsamplebufferdroppedframereason_outofbuffers
@available(iOS 6.0, macOS 10.9, *)
public var kCMSampleBufferDroppedFrameReason_OutOfBuffers: CFString { fatalError() }

/// https://developer.apple.com/documentation/coremedia/kcmsamplebufferdroppedframereason_discontinuity
@available(iOS 6.0, macOS 10.9, *)
public var kCMSampleBufferDroppedFrameReason_Discontinuity: CFString { fatalError() }
