/// Knows whether a process has ended, and how.
actor ExitWatch {
    private(set) var status: ServerExit?
    private var waiting: [Int: CheckedContinuation<ServerExit?, Never>] = [:]
    private var waiters = 0

    /// The process has ended.
    func ended(_ status: ServerExit) {
        self.status = status
        for one in waiting.values { one.resume(returning: status) }
        waiting = [:]
    }

    /// How it ended; nil where it has not after this time. Waits whether or not the task is cancelled.
    func wait(atMost duration: Duration? = nil) async -> ServerExit? {
        if let status { return status }
        waiters += 1
        let number = waiters
        let alarm = duration.map { duration in
            Task {
                try? await Task.sleep(for: duration)
                self.giveUp(number)
            }
        }
        defer { alarm?.cancel() }
        return await withCheckedContinuation { waiting[number] = $0 }
    }

    private func giveUp(_ number: Int) {
        waiting.removeValue(forKey: number)?.resume(returning: nil)
    }
}
