extension ModelManifest {
    /// Bytes of the largest manifest that is read.
    static let maximumBytes = 16 << 20

    /// Reads a manifest: its form against the published schema, then that what it says agrees with itself.
    ///
    /// - Parameter bytes: Contents of `mobie.json`, UTF-8.
    /// - Throws: `ManifestError`, which names the field.
    public init(parsing bytes: [UInt8]) throws(ManifestError) {
        self = try ManifestReader().read(bytes)
    }
}

/// Reads manifests with one copy of the schema.
struct ManifestReader {
    private let schema: JSONSchema

    init() throws(ManifestError) {
        do {
            schema = try JSONSchema(JSONParser.parse(Array(manifestSchemaText.utf8)))
        } catch {
            throw Self.unusableSchema(error)
        }
    }

    /// See `ModelManifest.init(parsing:)`.
    func read(_ bytes: [UInt8]) throws(ManifestError) -> ModelManifest {
        guard bytes.count <= ModelManifest.maximumBytes else {
            let problem = "larger than \(ModelManifest.maximumBytes >> 20) MiB"
            throw ManifestError(reason: .tooLarge, field: "", problem: problem)
        }
        let document: JSONValue
        do {
            document = try JSONParser.parse(bytes)
        } catch {
            let problem = "not valid JSON: \(error.problem) at byte \(error.offset)"
            throw ManifestError(reason: .notJSON, field: "", problem: problem)
        }
        guard case .object(let members) = document else {
            throw ManifestError(reason: .notJSON, field: "", problem: "not a JSON object")
        }
        let version = members["schema_version"]
        guard version == .integer(ModelManifest.schemaVersion) else {
            let found = version?.summary ?? "missing"
            let problem = "\(found) where this version of the package knows \(ModelManifest.schemaVersion)"
            throw ManifestError(reason: .version, field: "schema_version", problem: problem)
        }
        try checkForm(document)
        let manifest = try ModelManifest.decode(members)
        if let problem = manifest.firstContradiction() {
            throw ManifestError(reason: .contradiction, field: problem.field, problem: problem.what)
        }
        return manifest
    }

    private func checkForm(_ document: JSONValue) throws(ManifestError) {
        let violation: JSONSchema.Violation?
        do {
            violation = try schema.firstViolation(in: document)
        } catch {
            throw Self.unusableSchema(error)
        }
        if let violation {
            let field = JSONSchema.fieldName(violation.path)
            throw ManifestError(reason: .form, field: field, problem: violation.problem)
        }
    }

    /// The schema is part of this package and tested: only a mistake made here leads to this.
    private static func unusableSchema(_ error: any Error) -> ManifestError {
        ManifestError(reason: .form, field: "", problem: "the schema cannot be read: \(error)")
    }
}
