import Foundation

/// A model folder: its manifest and where its packages are.
public struct ModelFolder: Sendable {
    /// One thing that is wrong with a folder: the field of the manifest or file it concerns, and what.
    public struct Problem: Sendable, Equatable, CustomStringConvertible {
        /// The file from the folder, or the field of the manifest.
        public let path: String
        /// What is wrong.
        public let what: String

        public var description: String { "\(path): \(what)." }
    }

    /// How far a verification is, in bytes.
    public struct Progress: Sendable, Equatable {
        /// Bytes read.
        public let done: Int
        /// Bytes of all files.
        public let total: Int
    }

    /// Files that macOS puts into folders by itself.
    private static let ignored: Set<String> = [".DS_Store"]
    private static let pieceBytes = 1 << 20

    /// The folder.
    public let url: URL
    /// Checked.
    public let manifest: ModelManifest

    /// Opens a model folder; only the manifest is read.
    ///
    /// - Throws: `ManifestError` where this is not a model folder or its manifest is damaged.
    public static func open(_ url: URL) throws(ManifestError) -> ModelFolder {
        let path = url.appendingPathComponent(ModelManifest.fileName).path
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            let size = attributes[.size] as? NSNumber
        else {
            throw ManifestError(reason: .missing, field: "", problem: "there is none in \(url.path)")
        }
        // Nothing of such a size is read at all.
        guard size.intValue <= ModelManifest.maximumBytes else {
            let problem = "larger than \(ModelManifest.maximumBytes >> 20) MiB"
            throw ManifestError(reason: .tooLarge, field: "", problem: problem)
        }
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            let problem = "cannot be read (\(error.localizedDescription))"
            throw ManifestError(reason: .unreadable, field: "", problem: problem)
        }
        return ModelFolder(url: url, manifest: try ModelManifest(parsing: [UInt8](data)))
    }

    /// The package (or compiled model) of a component, nil where the folder does not have it.
    public func location(of name: ComponentName) -> URL? {
        manifest[name].map { url.appendingPathComponent($0.file) }
    }

    /// Checks every file's presence, size and SHA-256, that none is a link, that there are no others, and that the
    /// components' digests are those of their files. The contents of packages are not looked into: `mobie verify` does.
    ///
    /// Reads every byte of the folder, a piece at a time.
    ///
    /// - Parameter progress: Called after every piece.
    /// - Returns: Everything found; empty where the folder is whole.
    /// - Throws: `CancellationError` where the task is cancelled.
    public func verify(progress: (Progress) -> Void = { _ in }) throws -> [Problem] {
        let records = manifest.allFiles.flatMap(\.files)
        let total = records.map(\.bytes).reduce(0, +)
        var problems: [Problem] = []
        var done = 0
        for record in records {
            let before = done
            let problem = try check(record) { read in
                done += read
                progress(Progress(done: min(done, total), total: total))
            }
            if let problem { problems.append(Problem(path: record.path, what: problem)) }
            done = before + record.bytes
        }
        problems += strangers(Set(records.map(\.path)))
        problems += manifest.components.compactMap(digestProblem)
        return problems
    }

    /// What is wrong with one file, nil where nothing is.
    private func check(_ record: FileRecord, _ didRead: (Int) -> Void) throws -> String? {
        var here = url
        var attributes: [FileAttributeKey: Any] = [:]
        for part in record.path.split(separator: "/") {
            here.appendPathComponent(String(part))
            guard let found = try? FileManager.default.attributesOfItem(atPath: here.path) else { return "missing" }
            if found[.type] as? FileAttributeType == .typeSymbolicLink {
                return "a link; a model folder holds plain files"
            }
            attributes = found
        }
        guard attributes[.type] as? FileAttributeType == .typeRegular else { return "missing" }
        let size = (attributes[.size] as? NSNumber)?.intValue ?? -1
        if size != record.bytes { return "\(size) bytes instead of \(record.bytes)" }
        guard let digest = try Self.digest(of: here, didRead) else { return "it cannot be read" }
        return digest == record.sha256 ? nil : "its content was changed (SHA-256 differs)"
    }

    /// SHA-256 of a file, a piece at a time; nil where it cannot be read.
    private static func digest(of file: URL, _ didRead: (Int) -> Void) throws -> String? {
        guard let stream = InputStream(url: file) else { return nil }
        stream.open()
        defer { stream.close() }
        var digest = SHA256()
        var piece = [UInt8](repeating: 0, count: pieceBytes)
        while true {
            try Task.checkCancellation()
            let count = piece.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map { stream.read($0, maxLength: buffer.count) } ?? -1
            }
            if count < 0 { return nil }
            if count == 0 { return digest.hex() }
            piece.withUnsafeBufferPointer { digest.update(UnsafeBufferPointer(rebasing: $0[..<count])) }
            didRead(count)
        }
    }

    private func strangers(_ listed: Set<String>) -> [Problem] {
        let paths = FileManager.default.enumerator(atPath: url.path)?.compactMap { $0 as? String } ?? []
        return paths.sorted().compactMap { path in
            let name = path.split(separator: "/").last.map(String.init) ?? path
            if Self.ignored.contains(name) || path == ModelManifest.fileName || listed.contains(path) { return nil }
            let attributes = try? FileManager.default.attributesOfItem(atPath: url.appendingPathComponent(path).path)
            if attributes?[.type] as? FileAttributeType == .typeDirectory { return nil }
            return Problem(path: path, what: "not in the manifest")
        }
    }

    private func digestProblem(_ component: ModelComponent) -> Problem? {
        guard component.form == .package else { return nil }
        let prefix = component.file.utf8.count + 1
        let lines = component.files
            .map { (path: String(decoding: Array($0.path.utf8.dropFirst(prefix)), as: UTF8.self), digest: $0.sha256) }
            .sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        let text = lines.map { "\($0.digest)  \($0.path)\n" }.joined()
        guard SHA256.hex(of: text.utf8) != component.sha256 else { return nil }
        let path = "components.\(component.name.rawValue).sha256"
        return Problem(path: path, what: "not the digest of the package's files")
    }
}
