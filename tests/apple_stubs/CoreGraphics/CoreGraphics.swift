// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/corefoundation/cgaffinetransform
@available(iOS 2.0, macOS 10.0, *)
public struct CGAffineTransform: Sendable {
    /// https://developer.apple.com/documentation/corefoundation/cgaffinetransform/a
    @available(iOS 2.0, macOS 10.0, *)
    public var a: CGFloat
    /// https://developer.apple.com/documentation/corefoundation/cgaffinetransform/b
    @available(iOS 2.0, macOS 10.0, *)
    public var b: CGFloat
    /// https://developer.apple.com/documentation/corefoundation/cgaffinetransform/c
    @available(iOS 2.0, macOS 10.0, *)
    public var c: CGFloat
    /// https://developer.apple.com/documentation/corefoundation/cgaffinetransform/d
    @available(iOS 2.0, macOS 10.0, *)
    public var d: CGFloat
}

/// https://developer.apple.com/documentation/coregraphics/cgimage
@available(iOS 2.0, macOS 10.0, *)
public class CGImage {}
