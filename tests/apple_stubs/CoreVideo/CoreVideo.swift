// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/corefoundation/cfallocator
@available(iOS 2.0, macOS 10.0, *)
// Linux has no Core Foundation for Swift.
public final class CFAllocator {}

/// https://developer.apple.com/documentation/corefoundation/cfstring
@available(iOS 2.0, macOS 10.0, *)
// Apple's keys are CFString and become String by `as`; Linux has no such conversion.
public typealias CFString = String

/// https://developer.apple.com/documentation/corefoundation/cfdictionary
@available(iOS 2.0, macOS 10.0, *)
// The same.
public typealias CFDictionary = [String: Any]

/// https://developer.apple.com/documentation/darwin/ostype
@available(iOS 2.0, macOS 10.0, *)
public typealias OSType = UInt32

/// https://developer.apple.com/documentation/corevideo/cvreturn
@available(iOS 4.0, macOS 10.4, *)
public typealias CVReturn = Int32

/// https://developer.apple.com/documentation/corevideo/kcvreturnsuccess
@available(iOS 4.0, macOS 10.4, *)
public var kCVReturnSuccess: CVReturn { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvbuffer
@available(iOS 4.0, macOS 10.4, *)
// Not Sendable: the documentation names no such conformance.
public class CVBuffer {}

/// https://developer.apple.com/documentation/corevideo/cvimagebuffer
@available(iOS 4.0, macOS 10.4, *)
public typealias CVImageBuffer = CVBuffer

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffer
@available(iOS 4.0, macOS 10.4, *)
public typealias CVPixelBuffer = CVImageBuffer

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferpool
@available(iOS 4.0, macOS 10.4, *)
public class CVPixelBufferPool {}

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockflags
@available(iOS 4.0, macOS 10.4, *)
public struct CVPixelBufferLockFlags: OptionSet, Sendable {
    /// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockflags/readonly
    @available(iOS 4.0, macOS 10.4, *)
    public static var readOnly: CVPixelBufferLockFlags { fatalError() }
    public let rawValue: UInt64
    public init(rawValue: UInt64) { fatalError() }
}

/// https://developer.apple.com/documentation/corevideo/kcvpixelformattype_32bgra
@available(iOS 4.0, macOS 10.4, *)
public var kCVPixelFormatType_32BGRA: OSType { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelformattype_onecomponent16half
@available(iOS 7.0, macOS 10.9, *)
public var kCVPixelFormatType_OneComponent16Half: OSType { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbufferpixelformattypekey
@available(iOS 4.0, macOS 10.4, *)
public var kCVPixelBufferPixelFormatTypeKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbufferwidthkey
@available(iOS 4.0, macOS 10.4, *)
public var kCVPixelBufferWidthKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbufferheightkey
@available(iOS 4.0, macOS 10.4, *)
public var kCVPixelBufferHeightKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbufferiosurfacepropertieskey
@available(iOS 4.0, macOS 10.6, *)
public var kCVPixelBufferIOSurfacePropertiesKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbuffermetalcompatibilitykey
@available(iOS 8.0, macOS 10.11, *)
public var kCVPixelBufferMetalCompatibilityKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/kcvpixelbufferpoolallocationthresholdkey
@available(iOS 5.0, macOS 10.8, *)
public var kCVPixelBufferPoolAllocationThresholdKey: CFString { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetpixelformattype(_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferGetPixelFormatType(_ pixelBuffer: CVPixelBuffer) -> OSType { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetwidth(_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferGetWidth(_ pixelBuffer: CVPixelBuffer) -> Int { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetheight(_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferGetHeight(_ pixelBuffer: CVPixelBuffer) -> Int { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbytesperrow(_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferGetBytesPerRow(_ pixelBuffer: CVPixelBuffer) -> Int { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbaseaddress(_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferGetBaseAddress(_ pixelBuffer: CVPixelBuffer) -> UnsafeMutableRawPointer? { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockbaseaddress(_:_:)
@available(iOS 4.0, macOS 10.4, *)
@discardableResult
public func CVPixelBufferLockBaseAddress(
    _ pixelBuffer: CVPixelBuffer, _ lockFlags: CVPixelBufferLockFlags
) -> CVReturn { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferunlockbaseaddress(_:_:)
@available(iOS 4.0, macOS 10.4, *)
@discardableResult
public func CVPixelBufferUnlockBaseAddress(
    _ pixelBuffer: CVPixelBuffer, _ unlockFlags: CVPixelBufferLockFlags
) -> CVReturn { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferpoolcreate(_:_:_:_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferPoolCreate(
    _ allocator: CFAllocator?, _ poolAttributes: CFDictionary?, _ pixelBufferAttributes: CFDictionary?,
    _ poolOut: UnsafeMutablePointer<CVPixelBufferPool?>
) -> CVReturn { fatalError() }

/// https://developer.apple.com/documentation/corevideo/cvpixelbufferpoolcreatepixelbufferwithauxattributes(_:_:_:_:)
@available(iOS 4.0, macOS 10.4, *)
public func CVPixelBufferPoolCreatePixelBufferWithAuxAttributes(
    _ allocator: CFAllocator?, _ pixelBufferPool: CVPixelBufferPool, _ auxAttributes: CFDictionary?,
    _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn { fatalError() }
