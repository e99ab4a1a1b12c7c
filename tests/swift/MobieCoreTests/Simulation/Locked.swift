import Foundation

/// A value that tasks, and functions that cannot wait, share. (`Synchronization.Mutex` needs macOS 15.)
///
/// Unchecked because the compiler does not know the lock: the value is reached in `withLock` alone, under the lock.
final class Locked<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) {
        self.value = value
    }

    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}

/// Counts things that are alive.
final class Census: Sendable {
    /// One thing that is alive as long as anybody holds it.
    final class Token: Sendable {
        private let census: Census

        fileprivate init(_ census: Census) {
            self.census = census
            census.counts.withLock {
                $0.alive += 1
                $0.peak = max($0.peak, $0.alive)
            }
        }

        deinit {
            census.counts.withLock { $0.alive -= 1 }
        }
    }

    private let counts = Locked((alive: 0, peak: 0))

    var alive: Int { counts.withLock { $0.alive } }
    var peak: Int { counts.withLock { $0.peak } }

    func makeToken() -> Token { Token(self) }
}
