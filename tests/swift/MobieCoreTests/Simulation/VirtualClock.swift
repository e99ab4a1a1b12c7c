/// Time that passes only when a test says so; whoever sleeps is woken in the order of deadlines.
final class VirtualClock: Sendable {
    private struct Sleeper {
        let deadline: Int64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var time: Int64 = 0
        var next = 0
        var sleepers: [Int: Sleeper] = [:]
        /// Sleepers that were cancelled before they lay down.
        var cancelled: Set<Int> = []

        /// Who is woken first; of equal deadlines, who lay down first.
        var earliest: (key: Int, value: Sleeper)? {
            sleepers.min { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }
        }
    }

    private let state = Locked(State())

    /// Nanoseconds.
    var now: Int64 { state.withLock { $0.time } }
    var sleeping: Int { state.withLock { $0.sleepers.count } }
    var nextDeadline: Int64? { state.withLock { $0.earliest?.value.deadline } }

    /// Returns when the time has come.
    ///
    /// - Throws: `CancellationError`, at once, where the task is cancelled.
    func sleep(_ nanoseconds: Int64) async throws {
        let id = state.withLock {
            $0.next += 1
            return $0.next
        }
        defer { state.withLock { _ = $0.cancelled.remove(id) } }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock {
                    if $0.cancelled.contains(id) { return true }
                    $0.sleepers[id] = Sleeper(deadline: $0.time + nanoseconds, continuation: continuation)
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            let sleeper = state.withLock {
                $0.cancelled.insert(id)
                return $0.sleepers.removeValue(forKey: id)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Lets time pass up to the earliest deadline and wakes who waits for it; false where nobody sleeps.
    @discardableResult
    func wakeEarliest() -> Bool {
        let sleeper = state.withLock { state -> Sleeper? in
            guard let (id, sleeper) = state.earliest else { return nil }
            state.time = max(state.time, sleeper.deadline)
            return state.sleepers.removeValue(forKey: id)
        }
        sleeper?.continuation.resume()
        return sleeper != nil
    }

    /// Lets time pass; nobody is woken.
    func advance(to time: Int64) {
        state.withLock { $0.time = max($0.time, time) }
    }
}
