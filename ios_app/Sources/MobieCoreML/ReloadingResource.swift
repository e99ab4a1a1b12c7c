/// Something that is loaded when it is first needed, and loaded once more where its use fails: models whose memory the
/// system took, or whose Neural Engine session broke, come back that way.
///
/// After a second load that did not help either, failures are reported at once until a use succeeds: loading takes
/// seconds, and every frame would try it again.
actor ReloadingResource<Value: Sendable> {
    private struct Loaded {
        let value: Value
        let generation: Int
    }

    private let load: @Sendable () async throws -> Value
    private let helps: @Sendable (any Error) -> Bool
    private var loaded: Loaded?
    private var loading: Task<Loaded, any Error>?
    private var generation = 0
    private var mayReload = true
    /// Loads after a failed use, for reports.
    private(set) var reloads = 0

    /// - Parameters:
    ///   - load: Makes the value.
    ///   - helps: Whether loading again may help against an error.
    init(
        _ load: @escaping @Sendable () async throws -> Value,
        helps: @escaping @Sendable (any Error) -> Bool = { _ in true }
    ) {
        (self.load, self.helps) = (load, helps)
    }

    /// What `body` makes of the value; where it fails, what it makes of one that is loaded anew.
    ///
    /// - Throws: What the load throws, what `body` throws the last time, or `CancellationError`.
    func use<Result: Sendable>(_ body: @Sendable (Value) async throws -> Result) async throws -> Result {
        let first = try await current()
        do {
            let result = try await body(first.value)
            mayReload = true
            return result
        } catch {
            if error is CancellationError || !helps(error) { throw error }
            try Task.checkCancellation()
            guard let second = try await next(after: first) else { throw error }
            let result = try await body(second.value)
            mayReload = true
            return result
        }
    }

    /// Loads the value unless it is there.
    func prepare() async throws {
        _ = try await current()
    }

    private func current() async throws -> Loaded {
        if let loaded { return loaded }
        return try await start()
    }

    /// The value after a failed one; nil where loading again did not help before.
    private func next(after failed: Loaded) async throws -> Loaded? {
        // Of several uses that failed together, the first one loads for all.
        if let loaded, loaded.generation > failed.generation { return loaded }
        if loaded == nil, let loading { return try await loading.value }
        guard mayReload else { return nil }
        mayReload = false
        loaded = nil
        reloads += 1
        return try await start()
    }

    private func start() async throws -> Loaded {
        if let loading { return try await loading.value }
        generation += 1
        let number = generation
        // Not cancelled with the caller: others may wait for the same load, and whoever comes back first finds it done.
        let task = Task {
            defer { self.loading = nil }
            let made = Loaded(value: try await self.load(), generation: number)
            self.loaded = made
            return made
        }
        loading = task
        return try await task.value
    }
}
