/// A value of a JSON document, with objects in the document's order.
public enum JSONValue: Sendable, Equatable {
    /// Nothing.
    case null
    /// True or false.
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int)
    /// Any other number; always finite.
    case number(Double)
    /// A text.
    case string(String)
    /// Values in order.
    case array([JSONValue])
    /// Named values.
    case object(JSONObject)
}

/// Members of a JSON object in the document's order; names are compared by their code points, not by what they look
/// like, and none appears twice.
public struct JSONObject: Sendable, Equatable {
    /// Names and values in order.
    public private(set) var members: [(name: String, value: JSONValue)] = []
    private var places: [ExactString: Int] = [:]

    /// An empty object.
    public init() {}

    /// The value of `name`, nil where there is none.
    public subscript(name: String) -> JSONValue? {
        places[ExactString(name)].map { members[$0].value }
    }

    /// Names in order.
    public var names: [String] { members.map(\.name) }

    /// Adds a member at the end; false, and nothing changes, where the name is there already.
    mutating func append(_ name: String, _ value: JSONValue) -> Bool {
        let key = ExactString(name)
        guard places[key] == nil else { return false }
        places[key] = members.count
        members.append((name, value))
        return true
    }

    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.elementsEqual(right.members) { $0.name.isExactly($1.name) && $0.value == $1.value }
    }
}

/// A string that equals another where their code points do: `String` also takes canonically equivalent ones, such as
/// the Kelvin sign and K, for the same.
struct ExactString: Hashable, Sendable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    static func == (left: ExactString, right: ExactString) -> Bool {
        left.text.isExactly(right.text)
    }

    func hash(into hasher: inout Hasher) {
        var contiguous = text
        contiguous.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    /// Whether both hold the same code points.
    func isExactly(_ other: String) -> Bool {
        utf8.elementsEqual(other.utf8)
    }

    /// The text that `bytes` hold, nil where they are not valid UTF-8.
    init?(exactUTF8 bytes: some Collection<UInt8>) {
        // Decoding repairs what is not valid, which changes the bytes. (String.init(validating:) needs iOS 18.)
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.utf8.elementsEqual(bytes) else { return nil }
        self = text
    }
}
