import Foundation
import MobieCore
import Testing

@testable import MobieCapture

struct CaptureTests {
    private func lifecycle(_ events: [CaptureLifecycle.Event]) -> CaptureLifecycle {
        var made = CaptureLifecycle()
        for event in events { _ = made.handle(event) }
        return made
    }

    private static let toRunning: [CaptureLifecycle.Event] = [.start, .permitted, .configured]

    @Test func theWayToFrames() {
        var camera = CaptureLifecycle()
        #expect(camera.handle(.start) == [.askPermission])
        #expect(camera.handle(.start) == [])
        #expect(camera.state == .asking)
        #expect(camera.handle(.permitted) == [.configure])
        #expect(camera.handle(.configured) == [])
        #expect(camera.state == .running)
    }

    @Test func aRefusalEndsTheWayAndCanBeTriedAgain() {
        var camera = lifecycle([.start])
        #expect(camera.handle(.refused(.notPermitted)) == [.tearDown])
        #expect(camera.state == .failed(.notPermitted))
        #expect(camera.handle(.start) == [.askPermission])
    }

    @Test func interruptionsComeAndGo() {
        var camera = lifecycle(Self.toRunning)
        _ = camera.handle(.interrupt(.background))
        #expect(camera.state == .interrupted(.background))
        _ = camera.handle(.interrupt(.pressure))
        #expect(camera.state == .interrupted(.pressure))
        #expect(camera.state.endsRecordings)
        _ = camera.handle(.interruptionEnded)
        #expect(camera.state == .running)
        #expect(!camera.state.endsRecordings)
    }

    @Test func aSessionThatKeepsBreakingFails() {
        var camera = lifecycle(Self.toRunning)
        for _ in 0..<CaptureLifecycle.maximumRestarts { #expect(camera.handle(.broke("x")) == [.restart]) }
        #expect(camera.handle(.broke("x")) == [.tearDown])
        #expect(camera.state == .failed(.session("x")))
        #expect(lifecycle([.start, .permitted, .configured, .broke("y")]).state == .running)
    }

    @Test func aLostDeviceIsAFailure() {
        var camera = lifecycle(Self.toRunning)
        #expect(camera.handle(.lost) == [.tearDown])
        #expect(camera.state == .failed(.deviceLost))
        #expect(camera.handle(.interruptionEnded) == [])
    }

    /// Whatever happens: a session is configured only after permission, torn down before the next one, and not restarted
    /// when it is gone.
    @Test(arguments: 0..<20)
    func everyOrderOfEventsIsTaken(seed: Int) {
        let events: [CaptureLifecycle.Event] = [
            .start, .permitted, .refused(.restricted), .configured, .interrupt(.inUse), .interruptionEnded, .broke("b"),
            .lost, .stop,
        ]
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        var camera = CaptureLifecycle()
        var (isPermitted, isThere) = (false, false)
        for _ in 0..<500 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            let event = events[Int(state % UInt64(events.count))]
            let before = camera.state
            for effect in camera.handle(event) {
                switch effect {
                case .askPermission:
                    #expect(!isThere)
                    isPermitted = true
                case .configure:
                    #expect(isPermitted && !isThere)
                    isThere = true
                case .restart: #expect(isThere)
                case .tearDown: (isPermitted, isThere) = (false, false)
                }
            }
            #expect(isThere == [.configuring, .running].contains(camera.state) || camera.state.isInterrupted)
            if event == .stop { #expect(camera.state == .idle) }
            if before == .idle && event != .start { #expect(camera.state == .idle) }
        }
    }

    @Test func theNearestFrameRateThatACameraHas() {
        let ranges = [FrameRateRange(minimum: 1, maximum: 30), FrameRateRange(minimum: 60, maximum: 60)]
        #expect(ranges.nearest(to: 24) == FrameRateChoice(rate: 24, range: 0, end: nil))
        #expect(ranges.nearest(to: 33) == FrameRateChoice(rate: 30, range: 0, end: .maximum))
        #expect(ranges.nearest(to: 45) == FrameRateChoice(rate: 60, range: 1, end: .maximum))
        #expect(ranges.nearest(to: 0) == FrameRateChoice(rate: 1, range: 0, end: .minimum))
        #expect(ranges.nearest(to: .nan) == nil)
        #expect([FrameRateRange(minimum: 0, maximum: 30)].nearest(to: 24)?.rate == 24)
        #expect([FrameRateRange(minimum: 0, maximum: 30)].nearest(to: 0) == nil)
        #expect([FrameRateRange(minimum: 9, maximum: 2)].nearest(to: 3) == nil)
        #expect([FrameRateRange]().nearest(to: 30) == nil)
    }

    @Test func errorsSayWhatToDo() {
        let errors: [CaptureError] = [
            .notPermitted, .restricted, .noCamera, .deviceLost, .configuration("c"), .session("s"), .stopped,
            .unreadable("a.mov", "u"), .noVideo("a.mov"), .unwritable("w"), .exists("b.mp4"), .finished, .empty,
        ]
        #expect(Set(errors.compactMap(\.errorDescription)).count == errors.count)
        #expect(errors.allSatisfy { $0.recoverySuggestion?.isEmpty == false })
    }
}

extension CaptureLifecycle.State {
    fileprivate var isInterrupted: Bool {
        if case .interrupted = self { return true }
        return false
    }
}
