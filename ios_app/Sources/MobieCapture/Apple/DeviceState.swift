#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore

    extension QualitySample {
        /// The device as it is now.
        ///
        /// - Parameters:
        ///   - pressure: What `CaptureEvent.pressure` said last; nominal without a camera.
        ///   - battery: From 0 to 1, for the statistics; nil where it is not known or the device is being charged.
        public static func now(pressure: PressureLevel = .nominal, battery: Double? = nil) -> QualitySample {
            let process = ProcessInfo.processInfo
            return QualitySample(
                time: Double(MonotonicClock.nanoseconds()) / 1e9, thermal: ThermalState(process.thermalState),
                pressure: pressure, battery: battery, isLowPowerMode: process.isLowPowerModeEnabled)
        }
    }

    extension ThermalState {
        /// Foundation's state; one that is not known here counts as the worst.
        public init(_ state: ProcessInfo.ThermalState) {
            switch state {
            case .nominal: self = .nominal
            case .fair: self = .fair
            case .serious: self = .serious
            case .critical: self = .critical
            @unknown default: self = .critical
            }
        }
    }
#endif
