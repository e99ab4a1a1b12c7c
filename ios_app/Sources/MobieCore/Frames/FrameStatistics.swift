import Foundation

/// What a session did: latencies a stage, throughput, drops and heat, in constant memory however long it runs.
public struct FrameStatistics: Sendable {
    /// A summary that can be written as JSON.
    public struct Report: Sendable, Codable, Equatable {
        /// Durations in milliseconds.
        public struct Latency: Sendable, Codable, Equatable {
            /// Number of durations.
            public let count: UInt64
            /// Mean.
            public let mean: Double
            /// Median.
            public let p50: Double
            /// 95th percentile.
            public let p95: Double
            /// 99th percentile.
            public let p99: Double
            /// Longest.
            public let maximum: Double
        }

        /// By stage, and "frame" from arrival to delivery; stages that never ran are left out.
        public let latencies: [String: Latency]
        /// Frames edited.
        public let delivered: Int
        /// Frames a second between the first and the last delivery; nil below two of them.
        public let throughput: Double?
        /// Frames dropped, by reason; reasons that never happened are left out.
        public let drops: [String: Int]
        /// Seconds in each thermal state, up to the last time that the state was told.
        public let thermalSeconds: [String: Double]
        /// Part of the battery used, from 0 to 1, where it was told.
        public let batteryUsed: Double?
    }

    private static let recentCount = 64

    private var stages: [FrameGate.Stage: LatencyHistogram] = [:]
    private var frames = LatencyHistogram()
    private var recent: [UInt64] = []
    private var recentNext = 0
    private var delivered = 0
    private var firstDelivery: Int64 = 0
    private var lastDelivery: Int64 = 0
    private var drops: [FrameGate.DropReason: Int] = [:]
    private var thermal: (state: ThermalState, since: Int64)?
    private var thermalNanoseconds: [ThermalState: Int64] = [:]
    private var battery: (first: Double, last: Double)?

    /// Nothing has happened yet.
    public init() {}

    /// A stage took this long.
    public mutating func record(_ stage: FrameGate.Stage, nanoseconds: UInt64) {
        stages[stage, default: LatencyHistogram()].record(nanoseconds: nanoseconds)
    }

    /// A frame that arrived at one time was delivered at another, both in nanoseconds of one clock.
    public mutating func recordDelivery(arrival: Int64, time: Int64) {
        let latency = UInt64(max(0, time - arrival))
        frames.record(nanoseconds: latency)
        if recent.count < Self.recentCount {
            recent.append(latency)
        } else {
            recent[recentNext] = latency
        }
        recentNext = (recentNext + 1) % Self.recentCount
        if delivered == 0 { firstDelivery = time }
        lastDelivery = time
        delivered += 1
    }

    /// A frame was dropped.
    public mutating func recordDrop(_ reason: FrameGate.DropReason) {
        drops[reason, default: 0] += 1
    }

    /// The device's state at a time in nanoseconds; `battery` from 0 to 1, nil where it is not known.
    public mutating func record(_ state: ThermalState, battery level: Double? = nil, time: Int64) {
        if let thermal { thermalNanoseconds[thermal.state, default: 0] += max(0, time - thermal.since) }
        thermal = (state, time)
        if let level { battery = (battery?.first ?? level, level) }
    }

    /// 95th percentile of the last 64 frames' latencies in nanoseconds; nil before the first.
    public var recentP95: UInt64? {
        recent.isEmpty ? nil : recent.sorted()[(recent.count * 95 + 99) / 100 - 1]
    }

    /// The summary so far.
    public func report() -> Report {
        var latencies: [String: Report.Latency] = [:]
        for (stage, histogram) in stages { latencies["\(stage)"] = Self.latency(histogram) }
        if frames.count > 0 { latencies["frame"] = Self.latency(frames) }
        let span = Double(lastDelivery - firstDelivery) / 1e9
        return Report(
            latencies: latencies, delivered: delivered,
            throughput: delivered > 1 && span > 0 ? Double(delivered - 1) / span : nil,
            drops: Dictionary(uniqueKeysWithValues: drops.map { ($0.key.rawValue, $0.value) }),
            thermalSeconds: Dictionary(
                uniqueKeysWithValues: thermalNanoseconds.map { ($0.key.rawValue, Double($0.value) / 1e9) }),
            batteryUsed: battery.map { $0.first - $0.last })
    }

    /// The summary as JSON with sorted keys.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return try encoder.encode(report())
    }

    private static func latency(_ histogram: LatencyHistogram) -> Report.Latency {
        func milliseconds(_ percent: Double) -> Double { (histogram.percentile(percent) ?? 0) / 1e6 }
        return Report.Latency(
            count: histogram.count, mean: (histogram.mean ?? 0) / 1e6, p50: milliseconds(50), p95: milliseconds(95),
            p99: milliseconds(99), maximum: Double(histogram.maximum) / 1e6)
    }
}
