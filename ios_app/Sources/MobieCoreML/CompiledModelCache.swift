import Foundation
import MobieCore

/// Compiled models on disk: every package is compiled once for a system, and what grows too large goes, the longest
/// unused first.
///
/// An entry is a folder that is filled elsewhere and then moved into place, so that it is there as a whole or not at
/// all; one that is damaged all the same is compiled again. Entries in use are never removed by this cache; another
/// process that shares the folder keeps the files that it has open. Several callers that ask for the same key share one
/// compilation.
public actor CompiledModelCache {
    /// An entry.
    public struct Entry: Sendable, Equatable {
        /// What it was made from.
        public let key: CompiledModelKey
        /// In bytes.
        public let bytes: Int
        /// When it was last asked for.
        public let lastUse: Date
    }

    private typealias Waiter = CheckedContinuation<CompiledModel, any Error>

    private static let version = "v1"
    private static let staging = ".staging-"
    private static let trash = ".trash-"
    /// Seconds after which an unfinished folder counts as left behind by a process that ended.
    private static let staleAfter = 86_400.0

    private let root: URL
    private let limit: Int
    private var uses: [CompiledModelKey: Int] = [:]
    private var waiters: [CompiledModelKey: [UUID: Waiter]] = [:]
    private var running: Set<CompiledModelKey> = []

    /// A cache in a folder, which is made when it is needed.
    ///
    /// - Parameters:
    ///   - folder: One that the system does not back up, such as the user's caches.
    ///   - limit: Bytes that entries may take together; the one in use and the newest stay whatever it is.
    public init(folder: URL, limit: Int = 4 << 30) {
        root = folder.appendingPathComponent(Self.version, isDirectory: true)
        self.limit = limit
    }

    /// The compiled model of a key, which is compiled unless it is there.
    ///
    /// - Parameters:
    ///   - key: What it is made from and for.
    ///   - compile: Makes it anywhere; what it makes is moved into the cache. It goes on where the caller is cancelled,
    ///     for the next one.
    /// - Throws: What `compile` throws, errors of the file system, or `CancellationError`.
    public func model(
        for key: CompiledModelKey, compile: @escaping @Sendable () async throws -> URL
    ) async throws -> CompiledModel {
        try Task.checkCancellation()
        if !running.contains(key) {
            if let found = lease(key) { return found }
            running.insert(key)
            Task { await self.make(key, compile) }
        }
        let id = UUID()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    waiters[key, default: [:]][id] = continuation
                }
            }
        } onCancel: {
            Task { await self.abandon(key, id) }
        }
    }

    /// Whether a whole entry of a key is there.
    public func contains(_ key: CompiledModelKey) -> Bool {
        CompiledModelRecord(entry: place(key)) != nil
    }

    /// All whole entries, the longest unused first.
    public func entries() -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
        let found = names.compactMap { name -> Entry? in
            let entry = root.appendingPathComponent(name, isDirectory: true)
            guard !name.hasPrefix("."), let record = CompiledModelRecord(entry: entry) else { return nil }
            return Entry(key: record.key, bytes: record.bytes, lastUse: lastUse(entry))
        }
        return found.sorted { ($0.lastUse, $0.key.folderName) < ($1.lastUse, $1.key.folderName) }
    }

    /// Removes what is not in use: entries of other builds of the system first, then the longest unused until the rest
    /// fits the limit; and what earlier processes left unfinished.
    ///
    /// - Parameter system: Entries of other systems are never used again.
    public func trim(for system: SystemIdentity) {
        removeLeftovers()
        let all = entries()
        var bytes = all.map(\.bytes).reduce(0, +)
        let stale = all.filter { $0.key.system != system }
        // The newest stays: it may have been made for a caller that is gone, and will be asked for again.
        for entry in stale + all.filter({ $0.key.system == system }).dropLast() {
            guard entry.key.system != system || bytes > limit else { return }
            if uses[entry.key] != nil || running.contains(entry.key) { continue }
            // What cannot be removed now is tried again next time.
            if (try? discard(place(entry.key))) != nil { bytes -= entry.bytes }
        }
    }

    private func make(_ key: CompiledModelKey, _ compile: @Sendable () async throws -> URL) async {
        let result: Result<Void, any Error>
        do {
            try install(try await compile(), key)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        running.remove(key)
        for waiter in (waiters.removeValue(forKey: key) ?? [:]).values {
            switch result {
            case .success:
                if let found = lease(key) {
                    waiter.resume(returning: found)
                } else {
                    waiter.resume(throwing: ModelFailure(.compilation, "The compiled model did not stay on disk."))
                }
            case .failure(let error): waiter.resume(throwing: error)
            }
        }
        if case .success = result { trim(for: key.system) }
    }

    /// Whether somebody holds the entry of a key.
    func isInUse(_ key: CompiledModelKey) -> Bool {
        uses[key] != nil
    }

    private func abandon(_ key: CompiledModelKey, _ id: UUID) {
        waiters[key]?.removeValue(forKey: id)?.resume(throwing: CancellationError())
    }

    /// The entry of a key, marked as used; nil where it is not there as a whole.
    private func lease(_ key: CompiledModelKey) -> CompiledModel? {
        let entry = place(key)
        guard CompiledModelRecord(entry: entry) != nil else { return nil }
        // The date only decides which entry goes first.
        try? FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: record(entry).path)
        uses[key, default: 0] += 1
        return CompiledModel(url: entry.appendingPathComponent(CompiledModelRecord.modelName)) { [weak self] in
            Task { await self?.release(key) }
        }
    }

    private func release(_ key: CompiledModelKey) {
        let left = (uses[key] ?? 1) - 1
        uses[key] = left > 0 ? left : nil
    }

    /// Moves a compiled model into the cache.
    private func install(_ made: URL, _ key: CompiledModelKey) throws {
        let files = FileManager.default
        let staging = root.appendingPathComponent(Self.staging + UUID().uuidString, isDirectory: true)
        let entry = place(key)
        defer {
            // Nothing is left of either where the move was done.
            try? files.removeItem(at: staging)
            try? files.removeItem(at: made)
        }
        try files.createDirectory(at: staging, withIntermediateDirectories: true)
        let model = staging.appendingPathComponent(CompiledModelRecord.modelName, isDirectory: true)
        // A move from another volume is a copy: only the next one has to be atomic.
        try files.moveItem(at: made, to: model)
        let record = CompiledModelRecord(key: key, model: model)
        guard !record.files.isEmpty else { throw ModelFailure(.compilation, "Core ML compiled a model to nothing.") }
        try JSONEncoder().encode(record).write(to: self.record(staging), options: .atomic)
        if files.fileExists(atPath: entry.path) {
            // Another process was faster, unless the entry is damaged.
            if CompiledModelRecord(entry: entry) != nil { return }
            try discard(entry)
        }
        try files.moveItem(at: staging, to: entry)
    }

    /// Takes a folder out of its place at once, then removes it.
    private func discard(_ entry: URL) throws {
        let trash = root.appendingPathComponent(Self.trash + UUID().uuidString, isDirectory: true)
        try FileManager.default.moveItem(at: entry, to: trash)
        // What stays is removed with the leftovers.
        try? FileManager.default.removeItem(at: trash)
    }

    private func removeLeftovers() {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: root.path)) ?? []
        where name.hasPrefix(Self.staging) || name.hasPrefix(Self.trash) {
            let folder = root.appendingPathComponent(name, isDirectory: true)
            let isLeft = Date().timeIntervalSince(modificationDate(folder)) > Self.staleAfter
            if name.hasPrefix(Self.trash) || isLeft { try? files.removeItem(at: folder) }
        }
    }

    private func place(_ key: CompiledModelKey) -> URL {
        root.appendingPathComponent(key.folderName, isDirectory: true)
    }

    private func record(_ entry: URL) -> URL {
        entry.appendingPathComponent(CompiledModelRecord.fileName)
    }

    private func lastUse(_ entry: URL) -> Date { modificationDate(record(entry)) }

    private func modificationDate(_ item: URL) -> Date {
        let attributes = try? FileManager.default.attributesOfItem(atPath: item.path)
        return attributes?[.modificationDate] as? Date ?? .distantPast
    }
}
