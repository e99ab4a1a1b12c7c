/// One schema of a JSON Schema document: its keywords, and what they say of a value without looking into its members.
final class SchemaRule {
    private static let annotations: Set<String> = ["$schema", "$id", "$defs", "title", "description"]

    private(set) var reference: String?
    private(set) var properties: [String: SchemaRule] = [:]
    private(set) var additional: SchemaRule?
    private(set) var items: SchemaRule?
    private var isClosed = false
    private var type: String?
    private var required: [String] = []
    private var allowed: [JSONValue]?
    private var bounds: [String: Double] = [:]
    private var pattern: Regex<AnyRegexOutput>?

    init(_ value: JSONValue) throws {
        guard case .object(let keywords) = value else { throw JSONSchema.Unsupported(keyword: "schema") }
        for (keyword, argument) in keywords.members where !Self.annotations.contains(keyword) {
            guard try read(keyword, argument) else { throw JSONSchema.Unsupported(keyword: keyword) }
        }
    }

    private func read(_ keyword: String, _ argument: JSONValue) throws -> Bool {
        switch (keyword, argument) {
        case ("$ref", .string(let target)): reference = target
        case ("type", .string(let name)): type = name
        case ("const", let constant): allowed = [constant]
        case ("enum", .array(let values)): allowed = values
        case ("additionalProperties", .bool(let isOpen)): isClosed = !isOpen
        case ("additionalProperties", .object): additional = try SchemaRule(argument)
        case ("items", .object): items = try SchemaRule(argument)
        case ("properties", .object(let members)):
            for (name, inner) in members.members { properties[name] = try SchemaRule(inner) }
        case ("required", .array(let names)):
            required = names.compactMap { if case .string(let name) = $0 { name } else { nil } }
            return required.count == names.count
        case ("pattern", .string(let text)):
            pattern = try Regex(text).matchingSemantics(.unicodeScalar)
        case ("minimum", _), ("maximum", _), ("exclusiveMinimum", _), ("exclusiveMaximum", _), ("minItems", _),
            ("maxItems", _), ("minLength", _), ("maxLength", _), ("minProperties", _):
            guard let bound = argument.asDouble else { return false }
            bounds[keyword] = bound
        default: return false
        }
        return true
    }

    /// What is wrong with a value, its members aside.
    func problems(of value: JSONValue) -> [String] {
        var found: [String] = []
        if let type, !value.isOfType(type) { found.append("\(value.summary) is not of type '\(type)'") }
        if let allowed, !allowed.contains(where: { $0.isSame(as: value) }) {
            found.append("\(value.summary) is not \(allowed.map(\.summary).joined(separator: " or "))")
        }
        switch value {
        case .object(let object): found += problems(of: object)
        case .array(let items): found += limits("Items", Double(items.count), "\(items.count) items")
        case .string(let text): found += problems(of: text)
        case .integer, .number: found += range(value)
        default: break
        }
        return found
    }

    private func problems(of object: JSONObject) -> [String] {
        var found = limits("Properties", Double(object.members.count), "\(object.members.count) members")
        found += required.filter { object[$0] == nil }.map { "'\($0)' is missing" }
        if isClosed {
            found += object.names.filter { properties[$0] == nil }.map { "'\($0)' is not known" }
        }
        return found
    }

    private func problems(of text: String) -> [String] {
        // Lengths are counted in code points.
        let length = text.unicodeScalars.count
        var found = limits("Length", Double(length), "a text of \(length) characters")
        // Patterns are anchored on both sides; the whole text, a newline at its end too, must match. A text over its
        // length is refused without a look at its characters.
        if let pattern, found.isEmpty, text.wholeMatch(of: pattern) == nil {
            found.append("\(JSONValue.string(text).summary) has not the form that is asked for")
        }
        return found
    }

    private func limits(_ what: String, _ size: Double, _ described: String) -> [String] {
        var found: [String] = []
        if let least = bounds["min\(what)"], size < least { found.append("\(described), fewer than \(Int(least))") }
        if let most = bounds["max\(what)"], size > most { found.append("\(described), more than \(Int(most))") }
        return found
    }

    private func range(_ value: JSONValue) -> [String] {
        guard let number = value.asDouble else { return [] }
        let checks: [(String, (Double, Double) -> Bool, String)] = [
            ("minimum", { $0 >= $1 }, "less than"), ("maximum", { $0 <= $1 }, "more than"),
            ("exclusiveMinimum", { $0 > $1 }, "not above"), ("exclusiveMaximum", { $0 < $1 }, "not below"),
        ]
        return checks.compactMap { keyword, holds, words in
            guard let bound = bounds[keyword], !holds(number, bound) else { return nil }
            return "\(value.summary) is \(words) \(JSONValue.number(bound).summary)"
        }
    }
}

extension JSONValue {
    /// The value of a number, nil for anything else.
    var asDouble: Double? {
        switch self {
        case .integer(let whole): Double(whole)
        case .number(let value): value
        default: nil
        }
    }

    /// Whether it has a type of JSON Schema; 1.0 is an integer there.
    func isOfType(_ name: String) -> Bool {
        switch self {
        case .null: name == "null"
        case .bool: name == "boolean"
        case .integer: name == "integer" || name == "number"
        case .number(let value): name == "number" || (name == "integer" && value == value.rounded())
        case .string: name == "string"
        case .array: name == "array"
        case .object: name == "object"
        }
    }

    /// Equality of JSON Schema: numbers by value, texts by code points.
    func isSame(as other: JSONValue) -> Bool {
        if let left = asDouble, let right = other.asDouble { return left == right }
        if case .string(let left) = self, case .string(let right) = other { return left.isExactly(right) }
        return self == other
    }

    /// For messages: short, whatever the value.
    var summary: String {
        switch self {
        case .null: "null"
        case .bool(let value): String(value)
        case .integer(let whole): String(whole)
        case .number(let value): value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
        case .string(let text): text.unicodeScalars.count > 60 ? "'\(text.prefix(50))...'" : "'\(text)'"
        case .array(let items): items.count > 6 ? "a list of \(items.count)" : listed(items)
        case .object(let object): "an object of \(object.members.count) members"
        }
    }

    private func listed(_ items: [JSONValue]) -> String {
        "[\(items.map(\.summary).joined(separator: ", "))]"
    }
}
