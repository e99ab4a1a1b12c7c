/// What is wrong with a JSON document, and at which byte.
struct JSONError: Error, Equatable {
    let problem: String
    let offset: Int
}

/// A strict reader of JSON (RFC 8259): no comments, no NaN, no numbers beyond what a double holds, no member twice,
/// no text that is not Unicode, and a bounded depth. Foundation's readers differ between systems in every one of these.
struct JSONParser {
    /// Arrays and objects inside one another; deeper documents are refused, so that no input exhausts the stack.
    static let maximumDepth = 256
    /// Digits, sign included, of the longest whole number.
    private static let maximumDigits = 20
    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    /// The value of a whole document.
    static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        guard String(exactUTF8: bytes) != nil else { throw JSONError(problem: "not valid UTF-8", offset: 0) }
        var parser = JSONParser(bytes: bytes)
        let value = try parser.value()
        parser.skipSpace()
        if parser.position < bytes.count { throw parser.error("more follows the value") }
        return value
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private func error(_ problem: String) -> JSONError {
        JSONError(problem: problem, offset: position)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ character: Character) -> Bool {
        guard next == character.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case .some(let byte) where byte == UInt8(ascii: "-") || Self.digits.contains(byte): return try number()
        default: return try word()
        }
    }

    private mutating func word() throws(JSONError) -> JSONValue {
        let words: [(String, JSONValue)] = [("true", .bool(true)), ("false", .bool(false)), ("null", .null)]
        for (word, value) in words where bytes[position...].starts(with: word.utf8) {
            position += word.utf8.count
            return value
        }
        throw error("a value is expected")
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        if depth > Self.maximumDepth { throw error("it is nested too deeply") }
        position += 1
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        defer { depth -= 1 }
        var items: [JSONValue] = []
        skipSpace()
        if take("]") { return .array(items) }
        while true {
            items.append(try value())
            skipSpace()
            if take("]") { return .array(items) }
            if !take(",") { throw error("a comma or the end of the array is expected") }
        }
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        defer { depth -= 1 }
        var members = JSONObject()
        skipSpace()
        if take("}") { return .object(members) }
        while true {
            skipSpace()
            if next != UInt8(ascii: "\"") { throw error("a name in quotation marks is expected") }
            let name = try string()
            skipSpace()
            if !take(":") { throw error("a colon is expected") }
            if !members.append(name, try value()) { throw error("the key '\(name)' appears twice") }
            skipSpace()
            if take("}") { return .object(members) }
            if !take(",") { throw error("a comma or the end of the object is expected") }
        }
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isWhole = true
        _ = take("-")
        if !take("0") { try digits() }
        if next == UInt8(ascii: ".") {
            position += 1
            isWhole = false
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            isWhole = false
            if !take("-") { _ = take("+") }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole && text.utf8.count > Self.maximumDigits { throw error("a number is too large") }
        if isWhole, let whole = Int(text) { return .integer(whole) }
        guard let value = Double(text), value.isFinite else { throw error("a number is too large") }
        return .number(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = next, Self.digits.contains(byte) { position += 1 }
        if position == start { throw error("a digit is expected") }
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var collected: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return String(decoding: collected, as: UTF8.self)
            case UInt8(ascii: "\\"):
                collected.append(contentsOf: String(try escaped()).utf8)
            case 0..<0x20:
                throw error("a control character in a text")
            default:
                collected.append(byte)
                position += 1
            }
        }
        throw error("a text does not end")
    }

    private mutating func escaped() throws(JSONError) -> Character {
        let plain: [UInt8: Character] = [
            UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/", UInt8(ascii: "b"): "\u{8}",
            UInt8(ascii: "f"): "\u{c}", UInt8(ascii: "n"): "\n", UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
        ]
        position += 1
        guard let letter = next else { throw error("a text does not end") }
        position += 1
        if let character = plain[letter] { return character }
        guard letter == UInt8(ascii: "u") else { throw error("an unknown escape in a text") }
        var code = try hexadecimal()
        if (0xD800..<0xDC00).contains(code), bytes[position...].starts(with: "\\u".utf8) {
            position += 2
            let low = try hexadecimal()
            guard (0xDC00..<0xE000).contains(low) else { throw error("half of a surrogate pair in a text") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair in a text") }
        return Character(scalar)
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw error("four hexadecimal digits are expected") }
        var code: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits are expected")
            }
            code = code << 4 + UInt32(digit)
        }
        position += 4
        return code
    }
}
