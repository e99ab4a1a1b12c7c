/// A dictionary of bounded size: where it is full, what was not used for the longest time makes room.
struct LeastRecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        let value: Value
        var use: UInt64
    }

    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var uses: UInt64 = 0

    /// - Precondition: `capacity` is positive.
    init(capacity: Int) {
        precondition(capacity > 0, "A cache needs room.")
        self.capacity = capacity
    }

    var count: Int { entries.count }

    /// What is kept under a key, which counts as a use; nil where nothing is.
    mutating func value(of key: Key) -> Value? {
        uses += 1
        entries[key]?.use = uses
        return entries[key]?.value
    }

    /// Keeps a value, which counts as a use.
    mutating func keep(_ value: Value, as key: Key) {
        uses += 1
        entries[key] = Entry(value: value, use: uses)
        // Made rarely, beside seconds of conditioning: a walk over all of them is nothing.
        if entries.count > capacity, let oldest = entries.min(by: { $0.value.use < $1.value.use }) {
            entries[oldest.key] = nil
        }
    }

    mutating func clear() {
        entries = [:]
    }
}
