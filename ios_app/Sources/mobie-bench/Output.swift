import Dispatch
import Foundation

/// Files that a mode writes, and work that a signal ends.
enum Output {
    /// Refuses, before any work, a file that cannot be written after it.
    static func check(_ file: URL, replaces: Bool) throws(UsageError) {
        let folder = file.deletingLastPathComponent().path
        guard FileManager.default.isWritableFile(atPath: folder) else {
            throw UsageError("\(folder) is no folder that can be written to.")
        }
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder) else { return }
        if isFolder.boolValue { throw UsageError("\(file.path) is a folder: choose another name.") }
        if !replaces { throw UsageError("\(file.path) exists already: choose another file or pass --force.") }
    }

    /// Writes a report as JSON, to a file or standard output.
    static func write(_ report: some Encodable, to file: URL?) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let json = try encoder.encode(report)
        if let file {
            try json.write(to: file, options: .atomic)
        } else {
            print(String(decoding: json, as: UTF8.self))
        }
    }

    /// The result of work that SIGINT, SIGTERM and SIGHUP cancel.
    ///
    /// - Throws: `Interrupted` where it was cancelled, else what it throws.
    static func result<Result: Sendable>(
        of work: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let task = Task { try await work() }
        let signals = [SIGINT, SIGTERM, SIGHUP].map { number in
            // Not ignored: programs that this one starts would inherit that.
            signal(number) { _ in }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { task.cancel() }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }
        do {
            return try await task.value
        } catch {
            // Whatever the work makes of it.
            throw task.isCancelled ? Interrupted() : error
        }
    }
}
