/// A JSON Schema (draft 2020-12) of the keywords that the schema of `mobie.json` uses: type, properties, required,
/// additionalProperties, minProperties, items, minItems, maxItems, minimum, maximum, exclusiveMinimum,
/// exclusiveMaximum, minLength, maxLength, pattern, const, enum, $ref to $defs. Others than these and annotations are
/// refused, so that no rule goes unchecked.
struct JSONSchema {
    /// Something that a document breaks.
    struct Violation {
        /// Where in the document: names and indices.
        let path: [Step]
        let problem: String
    }

    /// A step into a document.
    enum Step: Equatable {
        case name(String)
        case index(Int)

        /// As text, by which violations are put in order.
        var text: String {
            switch self {
            case .name(let name): name
            case .index(let index): String(index)
            }
        }
    }

    /// The schema itself uses a keyword that is not known here, or uses it in another way.
    struct Unsupported: Error, Equatable {
        let keyword: String
    }

    private let root: SchemaRule
    private let definitions: [String: SchemaRule]

    /// Reads a schema.
    init(_ document: JSONValue) throws {
        guard case .object(let members) = document else { throw Unsupported(keyword: "type") }
        var definitions: [String: SchemaRule] = [:]
        if case .object(let defined)? = members["$defs"] {
            for (name, value) in defined.members { definitions["#/$defs/\(name)"] = try SchemaRule(value) }
        }
        self.definitions = definitions
        root = try SchemaRule(document)
    }

    /// The violation that comes first when paths are compared step by step as texts; nil where the document conforms.
    func firstViolation(in document: JSONValue) throws -> Violation? {
        var found: Violation?
        try check(document, root, at: []) { violation in
            if let first = found, !Self.precedes(violation.path, first.path) { return }
            found = violation
        }
        return found
    }

    /// A path as people write it: components.Denoiser.inputs[0].shape.
    static func fieldName(_ path: [Step]) -> String {
        var text = ""
        for step in path {
            switch step {
            case .name(let name): text += text.isEmpty ? name : ".\(name)"
            case .index(let index): text += "[\(index)]"
            }
        }
        return text.isEmpty ? "the whole file" : text
    }

    private static func precedes(_ left: [Step], _ right: [Step]) -> Bool {
        left.lexicographicallyPrecedes(right) { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }
    }

    private func check(
        _ value: JSONValue, _ rule: SchemaRule, at path: [Step], report: (Violation) -> Void
    ) throws {
        if let reference = rule.reference {
            guard let target = definitions[reference] else { throw Unsupported(keyword: reference) }
            try check(value, target, at: path, report: report)
        }
        for problem in rule.problems(of: value) { report(Violation(path: path, problem: problem)) }
        switch value {
        case .object(let object):
            for (name, item) in object.members {
                if let inner = rule.properties[name] ?? rule.additional {
                    try check(item, inner, at: path + [.name(name)], report: report)
                }
            }
        case .array(let items):
            guard let inner = rule.items else { return }
            for (index, item) in items.enumerated() {
                try check(item, inner, at: path + [.index(index)], report: report)
            }
        default: return
        }
    }
}
