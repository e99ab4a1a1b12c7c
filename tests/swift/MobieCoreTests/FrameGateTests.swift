import Testing

@testable import MobieCore

struct FrameGateTests {
    private func signature(_ level: UInt8) throws -> FrameSignature {
        let pixel: [UInt8] = [level, level, level, 255]
        let bytes = Array(repeatElement(pixel, count: 16 * 8).joined())
        let image = try #require(InterleavedImage(width: 16, height: 8, channels: 4, bytes: bytes))
        return try #require(FrameSignature(image))
    }

    @Test func stagesOverlapAndTheNewestFrameWins() {
        var gate = FrameGate()
        #expect(gate.arrive(frame: 1, time: 0) == [.run(.encoder, frame: 1)])
        #expect(gate.arrive(frame: 2, time: 1) == [])
        #expect(gate.arrive(frame: 3, time: 2) == [.drop(frame: 2, .replaced)])
        #expect(gate.finish(.encoder) == [.run(.denoiser, frame: 1), .run(.encoder, frame: 3)])
        // The denoiser is busy: the encoder keeps its frame and takes no other.
        #expect(gate.finish(.encoder) == [])
        #expect(gate.arrive(frame: 4, time: 3) == [])
        #expect(
            gate.finish(.denoiser) == [.run(.decoder, frame: 1), .run(.denoiser, frame: 3), .run(.encoder, frame: 4)])
        #expect(gate.finish(.decoder) == [.deliver(frame: 1)])
        #expect(gate.liveFrames.sorted() == [3, 4])
        #expect(gate.drops == [.replaced: 1])
    }

    @Test func framesOutOfOrderAreDropped() {
        var gate = FrameGate()
        _ = gate.arrive(frame: 5, time: 0)
        #expect(gate.arrive(frame: 5, time: 1) == [.drop(frame: 5, .outOfOrder)])
        #expect(gate.arrive(frame: 4, time: 2) == [.drop(frame: 4, .outOfOrder)])
    }

    @Test func aFailedFrameIsLostAndTheOthersGoOn() {
        var gate = FrameGate()
        _ = gate.arrive(frame: 1, time: 0)
        _ = gate.arrive(frame: 2, time: 0)
        #expect(gate.fail(.encoder) == [.drop(frame: 1, .failed), .run(.encoder, frame: 2)])
        #expect(gate.finish(.decoder) == [])
        #expect(gate.fail(.denoiser) == [])
        #expect(gate.finish(.encoder) == [.run(.denoiser, frame: 2)])
        // A second report of the same end changes nothing.
        #expect(gate.finish(.encoder) == [])
    }

    @Test func similarFramesAreSkippedUpToTheCap() throws {
        var gate = FrameGate(similarityThreshold: 3, maximumSkips: 2)
        let still = try signature(100)
        func ran(_ frame: Int, _ signature: FrameSignature) -> Bool {
            let actions = gate.arrive(frame: frame, time: 0, signature: signature)
            if actions == [.drop(frame: frame, .similar)] { return false }
            #expect(actions == [.run(.encoder, frame: frame)])
            for stage in FrameGate.Stage.allCases { _ = gate.finish(stage) }
            return true
        }
        #expect((0..<7).map { ran($0, still) } == [true, false, false, true, false, false, true])
        #expect(ran(7, try signature(104)))
        // Slow drift is compared with the frame that ran, so it is seen in time.
        #expect(!ran(8, try signature(107)))
        #expect(ran(9, try signature(108)))
        gate.invalidate()
        #expect(ran(10, try signature(108)))
        #expect(gate.drops == [.similar: 5])
    }

    @Test func aFailedFrameIsNoReasonToSkipTheNext() throws {
        var gate = FrameGate(similarityThreshold: 255)
        _ = gate.arrive(frame: 1, time: 0, signature: try signature(9))
        _ = gate.fail(.encoder)
        #expect(gate.arrive(frame: 2, time: 0, signature: try signature(9)) == [.run(.encoder, frame: 2)])
    }

    @Test func pausingDropsWhatComesAndKeepsWhatRuns() {
        var gate = FrameGate()
        _ = gate.arrive(frame: 1, time: 0)
        _ = gate.arrive(frame: 2, time: 0)
        #expect(gate.pause() == [.drop(frame: 2, .paused)])
        #expect(gate.arrive(frame: 3, time: 0) == [.drop(frame: 3, .paused)])
        #expect(gate.finish(.encoder) == [.run(.denoiser, frame: 1)])
        gate.resume()
        #expect(gate.arrive(frame: 4, time: 0) == [.run(.encoder, frame: 4)])
    }

    @Test(arguments: [30.0, 15.0, 10.0, 24.0, 7.5])
    func theRateStaysBelowItsLimit(limit: Double) {
        var gate = FrameGate()
        gate.limitRate(to: limit)
        var source = SplitMix(state: 3)
        var taken = 0
        for frame in 0..<900 {
            // 30 frames a second for 30 seconds, with jitter.
            let time = Int64(frame) * 33_333_333 + Int64(source.next() % 4_000_000)
            if !gate.arrive(frame: frame, time: time).contains(.drop(frame: frame, .rateLimited)) { taken += 1 }
        }
        #expect(Double(taken) <= limit * 30 + 1)
        #expect(Double(taken) >= limit * 30 * 0.95)
        gate.limitRate(to: nil)
        #expect(!gate.arrive(frame: 1000, time: 0).contains(.drop(frame: 1000, .rateLimited)))
    }

    /// Whatever happens in whatever order: at most one frame a stage, each frame ends exactly once, results in order,
    /// a bounded number inside, and the same events give the same actions.
    @Test(arguments: 0..<40)
    func everythingThatHappensKeepsTheInvariants(seed: Int) throws {
        let looks = [try signature(10), try signature(12), try signature(90)]
        var (first, second) = (
            FrameGate(similarityThreshold: seed % 2 == 0 ? 4 : nil, maximumSkips: 3),
            FrameGate(similarityThreshold: seed % 2 == 0 ? 4 : nil, maximumSkips: 3)
        )
        var source = SplitMix(state: UInt64(seed))
        var running: [FrameGate.Stage: Int] = [:]
        var (ended, arrived): (Set<Int>, Set<Int>) = ([], [])
        var lastDelivered = -1
        func take(_ actions: [FrameGate.Action]) {
            for action in actions {
                switch action {
                case .run(let stage, let frame):
                    #expect(running[stage] == nil, "two frames in one stage, seed \(seed)")
                    running[stage] = frame
                case .deliver(let frame):
                    #expect(frame > lastDelivered, "out of order, seed \(seed)")
                    lastDelivered = frame
                    #expect(ended.insert(frame).inserted)
                case .drop(let frame, _):
                    #expect(ended.insert(frame).inserted, "ended twice, seed \(seed)")
                }
            }
        }
        for step in 0..<400 {
            let stage = FrameGate.Stage.allCases[Int(source.next() % 3)]
            let choice = source.next() % 16
            let look = looks[Int(source.next() % 3)]
            func happen(_ gate: inout FrameGate) -> [FrameGate.Action] {
                switch choice {
                case 0...6: return gate.arrive(frame: step, time: Int64(step), signature: look)
                case 7...12: return gate.finish(stage)
                case 13: return gate.fail(stage)
                case 14: return gate.pause()
                default:
                    gate.resume()
                    return []
                }
            }
            if (7...13).contains(choice) { running[stage] = nil }
            if choice <= 6 { arrived.insert(step) }
            let actions = happen(&first)
            #expect(actions == happen(&second))
            take(actions)
            let live = first.liveFrames
            #expect(live.count <= FrameGate.maximumLiveFrames)
            #expect(ended.union(live) == arrived, "a frame is lost, seed \(seed)")
        }
    }

    @Test func signaturesOfAnySizeAndBadOnes() throws {
        for (width, height) in [(1, 1), (3, 200), (640, 5), (17, 9)] {
            let bytes = [UInt8](repeating: 200, count: width * height * 4)
            let image = try #require(InterleavedImage(width: width, height: height, channels: 4, bytes: bytes))
            #expect(try #require(FrameSignature(image)).means == [UInt8](repeating: 200, count: 64))
        }
        // Blocks of 31 x 31 pixels: 16 x 16 of them are read, every second one.
        var read = [UInt8](repeating: 0, count: 248 * 248 * 4)
        for y in 0..<248 where y % 31 % 2 == 0 {
            for x in 0..<248 where x % 31 % 2 == 0 {
                let at = (y * 248 + x) * 4
                read.replaceSubrange(at..<at + 4, with: [200, 200, 200, 200])
            }
        }
        let image = try #require(InterleavedImage(width: 248, height: 248, channels: 4, bytes: read))
        #expect(try #require(FrameSignature(image)).means == [UInt8](repeating: 200, count: 64))
        let bytes = [UInt8](repeating: 0, count: 64)
        bytes.withUnsafeBytes { raw in
            #expect(FrameSignature(bgra: raw, width: 4, height: 5, bytesPerRow: 16) == nil)
            #expect(FrameSignature(bgra: raw, width: 5, height: 1, bytesPerRow: 16) == nil)
            #expect(FrameSignature(bgra: raw, width: 0, height: 1, bytesPerRow: 16) == nil)
            #expect(FrameSignature(bgra: raw, width: 4, height: 4, bytesPerRow: 16) != nil)
        }
    }
}
