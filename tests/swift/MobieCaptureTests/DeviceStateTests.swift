#if canImport(AVFoundation)
    import Foundation
    import MobieCapture
    import MobieCore
    import Testing

    struct DeviceStateTests {
        @Test func everyStateOfFoundationHasItsName() {
            let states: [ProcessInfo.ThermalState] = [.nominal, .fair, .serious, .critical]
            #expect(states.map { ThermalState($0) } == ThermalState.allCases)
        }

        @Test func aSampleSaysWhatItIsGivenAndWhen() {
            let first = QualitySample.now(pressure: .serious, battery: 0.5)
            let second = QualitySample.now()
            #expect(first.pressure == .serious && first.battery == 0.5)
            #expect(second.pressure == .nominal && second.battery == nil)
            #expect(second.time >= first.time)
        }
    }
#endif
