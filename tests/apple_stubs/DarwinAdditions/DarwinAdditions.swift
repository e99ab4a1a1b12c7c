// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

// What Apple's Foundation and Dispatch have and the ones for Linux lack. AVFoundation's stub hands it on.
import Foundation

/// https://developer.apple.com/documentation/dispatch/dispatchserialqueue
// Apple's is a DispatchQueue; Linux's DispatchQueue cannot be inherited from. It is a SerialExecutor from iOS 17 and
// macOS 14 on (https://developer.apple.com/documentation/dispatch/os_dispatch_queue_serial_executor).
@available(iOS 12.0, macOS 10.14, *)
public final class DispatchSerialQueue: SerialExecutor {
    /// https://developer.apple.com/documentation/dispatch/dispatchqueue/init(label:qos:attributes:autoreleasefrequency:target:)
    @available(iOS 12.0, macOS 10.14, *)
    public init(label: String) { fatalError() }
    /// https://developer.apple.com/documentation/swift/executor/enqueue(_:)-b90u
    @available(iOS 17.0, macOS 14.0, *)
    public func enqueue(_ job: UnownedJob) { fatalError() }
    /// https://developer.apple.com/documentation/swift/serialexecutor/asunownedserialexecutor()
    @available(iOS 17.0, macOS 14.0, *)
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { fatalError() }
}

/// https://developer.apple.com/documentation/foundation/nskeyvalueobservation
@available(iOS 8.0, macOS 10.10, *)
public class NSKeyValueObservation: NSObject {}

/// https://developer.apple.com/documentation/foundation/nskeyvalueobservedchange
@available(iOS 8.0, macOS 10.10, *)
public struct NSKeyValueObservedChange<Value> {
    /// https://developer.apple.com/documentation/foundation/nskeyvalueobservedchange/newvalue
    @available(iOS 8.0, macOS 10.10, *)
    public var newValue: Value? { fatalError() }
}

/// https://developer.apple.com/documentation/foundation/nskeyvalueobservingoptions
@available(iOS 2.0, macOS 10.0, *)
public struct NSKeyValueObservingOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { fatalError() }
    /// https://developer.apple.com/documentation/foundation/nskeyvalueobservingoptions/new
    @available(iOS 2.0, macOS 10.0, *)
    public static var new: NSKeyValueObservingOptions { fatalError() }
    /// https://developer.apple.com/documentation/foundation/nskeyvalueobservingoptions/initial
    @available(iOS 2.0, macOS 10.0, *)
    public static var initial: NSKeyValueObservingOptions { fatalError() }
}

/// https://developer.apple.com/documentation/objectivec/nsobject-swift.class
// Apple declares the method on a protocol of its own that every NSObject has.
extension NSObjectProtocol where Self: NSObject {
    /// https://developer.apple.com/documentation/objectivec/nsobject-swift.class/observe(_:options:changehandler:)
    @available(iOS 8.0, macOS 10.10, *)
    @preconcurrency
    public func observe<Value>(
        _ keyPath: KeyPath<Self, Value>, options: NSKeyValueObservingOptions = [],
        changeHandler: @escaping @Sendable (Self, NSKeyValueObservedChange<Value>) -> Void
    ) -> NSKeyValueObservation { fatalError() }
}

/// https://developer.apple.com/documentation/foundation/processinfo
// Linux's has neither heat nor a low-power mode.
extension ProcessInfo {
    /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.enum
    @available(iOS 11.0, macOS 10.10.3, *)
    public enum ThermalState: Int, Sendable {
        /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.enum/nominal
        @available(iOS 11.0, macOS 10.10.3, *)
        case nominal = 0
        /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.enum/fair
        @available(iOS 11.0, macOS 10.10.3, *)
        case fair = 1
        /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.enum/serious
        @available(iOS 11.0, macOS 10.10.3, *)
        case serious = 2
        /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.enum/critical
        @available(iOS 11.0, macOS 10.10.3, *)
        case critical = 3
    }
    /// https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.property
    @available(iOS 11.0, macOS 10.10.3, *)
    public var thermalState: ThermalState { fatalError() }
    /// https://developer.apple.com/documentation/foundation/processinfo/islowpowermodeenabled
    @available(iOS 9.0, macOS 12.0, *)
    public var isLowPowerModeEnabled: Bool { fatalError() }
}
