import Foundation
import Testing

@testable import MobieCore

struct FrameStatisticsTests {
    @Test func percentilesAreWithinABucketOfTheExactOnes() throws {
        var source = SplitMix(state: 11)
        for shift: UInt64 in [0, 20, 40, 57] {
            var histogram = LatencyHistogram()
            let values = (0..<3000).map { _ in source.next() >> shift }
            for value in values { histogram.record(nanoseconds: value) }
            let sorted = values.sorted()
            for percent in [0.0, 1, 50, 95, 99, 100] {
                let exact = Double(sorted[max(0, Int((percent / 100 * 3000).rounded(.up)) - 1)])
                let found = try #require(histogram.percentile(percent))
                #expect(abs(found - exact) <= exact * 0.008 + 1e-9, "\(percent) at 2^\(64 - shift)")
            }
            #expect(histogram.minimum == sorted[0])
            #expect(histogram.maximum == sorted[2999])
            let mean = values.map { Double($0) }.reduce(0, +) / 3000
            let found = try #require(histogram.mean)
            #expect(abs(found - mean) <= mean * 1e-12)
        }
    }

    @Test func anEmptyHistogramHasNoFigures() {
        let histogram = LatencyHistogram()
        #expect(histogram.percentile(50) == nil)
        #expect(histogram.mean == nil)
        #expect(histogram.minimum == 0)
        var extreme = histogram
        extreme.record(nanoseconds: .max)
        extreme.record(nanoseconds: 0)
        #expect(extreme.percentile(100) == Double(UInt64.max))
        #expect(extreme.percentile(1) == 0)
    }

    @Test func aSessionIsSummedUp() throws {
        var statistics = FrameStatistics()
        #expect(statistics.recentP95 == nil)
        statistics.record(.nominal, battery: 0.9, time: 0)
        for frame in 0..<101 {
            let arrival = Int64(frame) * 40_000_000
            statistics.record(.encoder, nanoseconds: 10_000_000)
            statistics.record(.denoiser, nanoseconds: 30_000_000)
            statistics.recordDelivery(arrival: arrival, time: arrival + 50_000_000)
        }
        statistics.recordDrop(.replaced)
        statistics.recordDrop(.replaced)
        statistics.recordDrop(.similar)
        statistics.record(.serious, battery: 0.8, time: 3_000_000_000)
        statistics.record(.nominal, time: 4_000_000_000)
        #expect(statistics.recentP95 == 50_000_000)
        let report = statistics.report()
        #expect(report.delivered == 101)
        #expect(try #require(report.throughput) == 25)
        #expect(report.drops == ["replaced": 2, "similar": 1])
        #expect(report.thermalSeconds == ["nominal": 3, "serious": 1])
        #expect(abs(try #require(report.batteryUsed) - 0.1) < 1e-12)
        #expect(Set(report.latencies.keys) == ["encoder", "denoiser", "frame"])
        #expect(try #require(report.latencies["denoiser"]).p95 == 30)
        #expect(try JSONDecoder().decode(FrameStatistics.Report.self, from: statistics.json()) == report)
    }

    @Test func recentLatencyForgets() {
        var statistics = FrameStatistics()
        for _ in 0..<100 { statistics.recordDelivery(arrival: 0, time: 90) }
        for _ in 0..<64 { statistics.recordDelivery(arrival: 0, time: 10) }
        #expect(statistics.recentP95 == 10)
        // A clock that goes back gives no negative duration.
        statistics.recordDelivery(arrival: 10, time: 0)
        #expect(statistics.report().latencies["frame"]?.count == 165)
    }

    @Test func anEmptySessionIsWritten() throws {
        let report = try JSONDecoder().decode(FrameStatistics.Report.self, from: FrameStatistics().json())
        #expect(report == FrameStatistics().report())
        #expect(report.throughput == nil)
    }
}
