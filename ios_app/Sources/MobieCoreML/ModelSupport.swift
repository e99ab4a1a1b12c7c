import Foundation
import MobieCore

extension ModelManifest {
    /// Names the model wherever something is remembered about it: the digest of its components' digests.
    public var digest: String {
        SHA256.hex(of: components.map { "\($0.sha256)  \($0.name.rawValue)\n" }.joined().utf8)
    }

    /// Why a system cannot run the model at all; nil where it can.
    ///
    /// - Parameters:
    ///   - platform: iOS refuses models that are for macOS alone.
    ///   - version: Of the system: 17 is iOS 17 or macOS 14.
    public func unsupported(on platform: Platform, version: OperatingSystemVersion) -> ModelFailure? {
        if !missing.isEmpty {
            let names = missing.map(\.rawValue).joined(separator: ", ")
            return ModelFailure(.unsupported, "The model lacks \(names).")
        }
        if platform == .iOS, let large = components.first(where: \.isMacOSOnly) {
            return ModelFailure(
                .unsupported,
                "\(large.name.rawValue) has \(large.weightBytes >> 20) MiB of weights and is for macOS alone.")
        }
        for component in components {
            let needed = component.deploymentTarget.majorVersion(on: platform)
            if version.majorVersion < needed {
                return ModelFailure(
                    .unsupported,
                    "\(component.name.rawValue) was converted for \(platform.rawValue) \(needed) or later.")
            }
        }
        return nil
    }
}

extension ModelComponent.DeploymentTarget {
    /// The first version of a platform that loads models for this target.
    func majorVersion(on platform: Platform) -> Int {
        switch (self, platform) {
        case (.iOS17, .iOS): 17
        case (.iOS17, .macOS): 14
        case (.iOS18, .iOS): 18
        case (.iOS18, .macOS): 15
        }
    }
}
