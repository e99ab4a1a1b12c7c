extension ModelManifest {
    /// Bytes of the largest manifest that is read.
    static let maximumBytes = 16 << 20

    /// Reads a manifest: its form against the published schema, then that what it says agrees with itself.
    ///
    /// - Parameter bytes: Contents of `mobie.json`, UTF-8.
    /// - Throws: `ManifestError`, which names the field.
    public init(parsing bytes: [UInt8]) throws(ManifestError) {
        guard bytes.count <= Self.maximumBytes else {
            throw ManifestError(reason: .tooLarge, field: "", problem: "larger than \(Self.maximumBytes >> 20) MiB")
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
        guard version == .integer(Self.schemaVersion) else {
            let found = version?.summary ?? "missing"
            let problem = "\(found) where this version of the package knows \(Self.schemaVersion)"
            throw ManifestError(reason: .version, field: "schema_version", problem: problem)
        }
        try Self.checkForm(document)
        self = try Self.decode(members)
        if let problem = firstContradiction() {
            throw ManifestError(reason: .contradiction, field: problem.field, problem: problem.what)
        }
    }

    private static func checkForm(_ document: JSONValue) throws(ManifestError) {
        let violation: JSONSchema.Violation?
        do {
            let schema = try JSONSchema(JSONParser.parse(Array(manifestSchemaText.utf8)))
            violation = try schema.firstViolation(in: document)
        } catch {
            // The schema is part of this package and tested: only a mistake made here leads to this.
            throw ManifestError(reason: .form, field: "", problem: "the schema cannot be read: \(error)")
        }
        if let violation {
            let field = JSONSchema.fieldName(violation.path)
            throw ManifestError(reason: .form, field: field, problem: violation.problem)
        }
    }
}
