/// Durations counted in buckets of 1/64 of their size: percentiles within 0.8 percent, in constant memory.
public struct LatencyHistogram: Sendable, Equatable {
    /// Below this every nanosecond has its own bucket.
    private static let exact = 128
    private static let bucketsPerDoubling = 64
    private static let bucketCount = exact + 57 * bucketsPerDoubling

    /// Number of durations.
    public private(set) var count: UInt64 = 0
    /// Shortest in nanoseconds; 0 where there is none.
    public var minimum: UInt64 { count == 0 ? 0 : shortest }
    /// Longest in nanoseconds; 0 where there is none.
    public private(set) var maximum: UInt64 = 0

    private var shortest = UInt64.max
    private var sum = 0.0
    private var buckets = [UInt64](repeating: 0, count: bucketCount)

    /// No durations yet.
    public init() {}

    /// Mean in nanoseconds; nil where there is none.
    public var mean: Double? { count == 0 ? nil : sum / Double(count) }

    /// Counts a duration.
    public mutating func record(nanoseconds: UInt64) {
        buckets[Self.bucket(of: nanoseconds)] += 1
        count += 1
        sum += Double(nanoseconds)
        shortest = min(shortest, nanoseconds)
        maximum = max(maximum, nanoseconds)
    }

    /// The smallest duration, up to a bucket's width, that at least `percent` of all do not exceed (nearest rank); nil
    /// where there is none.
    public func percentile(_ percent: Double) -> Double? {
        if count == 0 { return nil }
        let rank = max(1, (min(max(percent, 0), 100) / 100 * Double(count)).rounded(.up))
        if rank >= Double(count) { return Double(maximum) }
        var before = 0.0
        for (index, number) in buckets.enumerated() where number > 0 {
            before += Double(number)
            if before >= rank { return min(max(Self.middle(of: index), Double(shortest)), Double(maximum)) }
        }
        return Double(maximum)
    }

    private static func bucket(of value: UInt64) -> Int {
        if value < exact { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        let part = Int(value >> UInt64(exponent - 6)) & (bucketsPerDoubling - 1)
        return exact + (exponent - 7) * bucketsPerDoubling + part
    }

    private static func middle(of bucket: Int) -> Double {
        if bucket < exact { return Double(bucket) }
        let (doubling, part) = (bucket - exact).quotientAndRemainder(dividingBy: bucketsPerDoubling)
        let width = Double(UInt64(1) << UInt64(doubling + 1))
        return (Double(bucketsPerDoubling + part) + 0.5) * width
    }
}
