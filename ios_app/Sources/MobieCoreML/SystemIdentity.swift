import Foundation

/// The system that a model is compiled for: Core ML's compiled form and its caches belong to one build of one device.
public struct SystemIdentity: Sendable, Hashable, Codable {
    /// The system's name, version and build.
    public let system: String
    /// The kind of device.
    public let device: String

    /// An identity by its parts.
    public init(system: String, device: String) {
        (self.system, self.device) = (system, device)
    }

    /// The system that this program runs on.
    public static var current: SystemIdentity {
        var names = utsname()
        let machine =
            uname(&names) == 0
            ? withUnsafeBytes(of: &names.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } : ""
        return SystemIdentity(system: ProcessInfo.processInfo.operatingSystemVersionString, device: machine)
    }
}

/// The kinds of system that models are made for.
public enum Platform: String, Sendable, CaseIterable {
    /// iPhones and iPads.
    case iOS
    /// Macs.
    case macOS

    /// The one that this program was built for; Linux, where tests run, counts as macOS.
    public static var current: Platform {
        #if os(iOS) || MOBIE_STUB_IOS
            .iOS
        #else
            .macOS
        #endif
    }
}
