/// A part of the manifest that has an object to itself.
protocol ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError)
}

/// Members of a JSON object that the schema has checked, as Swift values.
struct ManifestFields {
    let members: JSONObject
    let path: String

    private func field(_ name: String) -> String {
        path.isEmpty ? name : "\(path).\(name)"
    }

    private func wrong(_ name: String) -> ManifestError {
        ManifestError(reason: .form, field: field(name), problem: "missing or of another type")
    }

    func has(_ name: String) -> Bool {
        members[name] != nil
    }

    func object(_ name: String) throws(ManifestError) -> JSONObject {
        guard case .object(let found)? = members[name] else { throw wrong(name) }
        return found
    }

    func inside(_ name: String) throws(ManifestError) -> ManifestFields {
        ManifestFields(members: try object(name), path: field(name))
    }

    func part<Part: ManifestPart>(_ name: String) throws(ManifestError) -> Part {
        try Part(try inside(name))
    }

    func string(_ name: String) throws(ManifestError) -> String {
        guard case .string(let found)? = members[name] else { throw wrong(name) }
        return found
    }

    func bool(_ name: String) throws(ManifestError) -> Bool {
        guard case .bool(let found)? = members[name] else { throw wrong(name) }
        return found
    }

    func double(_ name: String) throws(ManifestError) -> Double {
        guard let found = members[name]?.asDouble else { throw wrong(name) }
        return found
    }

    func optionalDouble(_ name: String) throws(ManifestError) -> Double? {
        has(name) ? try double(name) : nil
    }

    func integer(_ name: String) throws(ManifestError) -> Int {
        guard let found = members[name]?.asInteger else { throw wrong(name) }
        return found
    }

    func integers(_ name: String) throws(ManifestError) -> [Int] {
        guard case .array(let items)? = members[name] else { throw wrong(name) }
        let found = items.compactMap(\.asInteger)
        guard found.count == items.count else { throw wrong(name) }
        return found
    }

    func choice<Choice: RawRepresentable<String>>(_ name: String) throws(ManifestError) -> Choice {
        guard let found = Choice(rawValue: try string(name)) else { throw wrong(name) }
        return found
    }

    func parts<Part: ManifestPart>(_ name: String) throws(ManifestError) -> [Part] {
        guard case .array(let items)? = members[name] else { throw wrong(name) }
        var made: [Part] = []
        for (index, item) in items.enumerated() {
            guard case .object(let members) = item else { throw wrong(name) }
            made.append(try Part(ManifestFields(members: members, path: "\(field(name))[\(index)]")))
        }
        return made
    }
}

extension JSONValue {
    /// A whole number, 1.0 too; nil for anything else.
    var asInteger: Int? {
        switch self {
        case .integer(let whole): whole
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }
}
