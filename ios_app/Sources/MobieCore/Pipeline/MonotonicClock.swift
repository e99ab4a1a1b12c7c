/// The system's clock that does not go back, in nanoseconds since the program first asked.
public enum MonotonicClock {
    private static let start = ContinuousClock.now

    /// Nanoseconds.
    public static let nanoseconds: @Sendable () -> Int64 = {
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
