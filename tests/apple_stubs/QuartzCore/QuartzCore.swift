// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Foundation

/// https://developer.apple.com/documentation/quartzcore/calayer
@available(iOS 2.0, macOS 10.5, *)
public class CALayer: NSObject {}
