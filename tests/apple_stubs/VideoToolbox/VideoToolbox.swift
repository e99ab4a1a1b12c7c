// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CoreGraphics
import CoreVideo
import Foundation

/// https://developer.apple.com/documentation/videotoolbox/vtcreatecgimagefromcvpixelbuffer(_:options:imageout:)
@available(iOS 9.0, macOS 10.11, *)
// Results of functions in C may be left alone; OSStatus is Int32.
@discardableResult
public func VTCreateCGImageFromCVPixelBuffer(
    _ pixelBuffer: CVPixelBuffer, options: CFDictionary?, imageOut: UnsafeMutablePointer<CGImage?>
) -> Int32 { fatalError() }
