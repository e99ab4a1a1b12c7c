import Foundation
import MobieCore

/// What a compiled model was made from and for; the same key is never compiled twice.
public struct CompiledModelKey: Sendable, Hashable, Codable {
    /// SHA-256 of the package, as in the manifest.
    public let package: String
    /// Where it runs.
    public let system: SystemIdentity

    /// A key.
    public init(package: String, system: SystemIdentity) {
        (self.package, self.system) = (package, system)
    }

    /// The entry's folder: always the same, because Core ML's own caches know models by their place.
    var folderName: String {
        SHA256.hex(of: "\(package)\n\(system.system)\n\(system.device)".utf8)
    }
}

/// What lies beside a compiled model: its key, and its files by which damage is found.
struct CompiledModelRecord: Codable, Equatable {
    static let fileName = "record.json"
    static let modelName = "model.mlmodelc"

    let key: CompiledModelKey
    /// Sizes in bytes by path from the compiled model.
    let files: [String: Int]

    /// A record of a compiled model that is there.
    init(key: CompiledModelKey, model: URL) {
        self.key = key
        files = Self.files(in: model)
    }

    /// The record of an entry; nil where there is none, or the model is not as it says.
    init?(entry: URL) {
        guard let data = try? Data(contentsOf: entry.appendingPathComponent(Self.fileName)),
            let read = try? JSONDecoder().decode(Self.self, from: data), !read.files.isEmpty,
            read.files == Self.files(in: entry.appendingPathComponent(Self.modelName))
        else { return nil }
        self = read
    }

    /// Size of all files in bytes.
    var bytes: Int { files.values.reduce(0, +) }

    private static func files(in folder: URL) -> [String: Int] {
        let files = FileManager.default
        var found: [String: Int] = [:]
        for path in files.enumerator(atPath: folder.path)?.compactMap({ $0 as? String }) ?? [] {
            let attributes = try? files.attributesOfItem(atPath: folder.appendingPathComponent(path).path)
            if attributes?[.type] as? FileAttributeType == .typeRegular {
                found[path] = (attributes?[.size] as? NSNumber)?.intValue
            }
        }
        return found
    }
}

/// A compiled model that is in use: its entry stays in the cache as long as this value is held.
public final class CompiledModel: Sendable {
    /// The compiled model.
    public let url: URL
    private let release: @Sendable () -> Void

    init(url: URL, release: @escaping @Sendable () -> Void = {}) {
        (self.url, self.release) = (url, release)
    }

    deinit {
        release()
    }
}
