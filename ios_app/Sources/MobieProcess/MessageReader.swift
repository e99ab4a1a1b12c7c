/// Finds messages in bytes that arrive in pieces of any size; the rules are those of Python's reader.
///
/// It holds one message and one piece at most, and what is no message is refused at its first wrong byte or at the end
/// of its header, before anything is kept for it.
public struct MessageReader: Sendable {
    private struct Header {
        let kind: Message.Kind
        let id: UInt32
        let length: Int
    }

    private var buffer: [UInt8] = []
    private var start = 0

    /// Nothing has come yet.
    public init() {}

    /// Takes the next bytes of the stream.
    public mutating func append(_ bytes: some Collection<UInt8>) {
        // What was read goes only now, so that many messages of one piece are not moved one by one.
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole message; nil until more bytes come.
    ///
    /// - Throws: `MessageError`; nothing of the stream can be read after it.
    public mutating func next() throws(MessageError) -> Message? {
        guard let header = try header(), buffer.count - start - Message.headerBytes >= header.length else { return nil }
        let first = start + Message.headerBytes
        let message = try Self.message(header, buffer[first..<first + header.length])
        start = first + header.length
        return message
    }

    /// The stream has ended.
    ///
    /// - Throws: `MessageError` where that is inside a message.
    public func finish() throws(MessageError) {
        let rest = buffer.count - start
        guard rest == 0 else {
            throw MessageError(fault: .truncated, problem: "the stream ends after \(rest) bytes of one")
        }
    }

    private func header() throws(MessageError) -> Header? {
        let rest = buffer[start...]
        if !rest.isEmpty, !Message.magic.starts(with: rest.prefix(Message.magic.count)) {
            let found = rest.prefix(4).map { String($0, radix: 16) }.joined(separator: " ")
            throw MessageError(fault: .garbage, problem: "it starts with \(found)")
        }
        guard rest.count >= Message.headerBytes else { return nil }
        let version = buffer[start + 3]
        guard version == Message.version else {
            let problem = "it has version \(version) of the protocol instead of \(Message.version)"
            throw MessageError(fault: .version, problem: problem)
        }
        let zeros = buffer[start + 5..<start + 8]
        guard let kind = Message.Kind(rawValue: buffer[start + 4]), zeros.allSatisfy({ $0 == 0 }) else {
            throw MessageError(fault: .kind, problem: "its kind is \(buffer[start + 4])")
        }
        var numbers = BodyCursor(buffer[start + 8..<start + Message.headerBytes])
        let (id, length) = (try numbers.number(), Int(try numbers.number()))
        guard length <= Message.maximumBodyBytes else {
            throw MessageError(fault: .tooLarge, problem: "its body has \(length) bytes")
        }
        guard id != 0 else { throw MessageError(fault: .form, problem: "its id is 0") }
        return Header(kind: kind, id: id, length: length)
    }

    private static func message(_ header: Header, _ body: ArraySlice<UInt8>) throws(MessageError) -> Message {
        var cursor = BodyCursor(body)
        let name = try cursor.name()
        var values: [String: MessageValue] = [:]
        var before = ""
        for _ in 0..<(try cursor.count(atMost: Message.maximumValues, "values")) {
            let key = try cursor.name()
            guard key > before else {
                let order = "value \(key) follows \(before.isEmpty ? "nothing" : before)"
                throw MessageError(fault: .form, problem: order)
            }
            values[key] = try cursor.value(key)
            before = key
        }
        try cursor.end()
        return Message(kind: header.kind, id: header.id, name: name, values: values)
    }
}

/// Takes a body apart from the front.
private struct BodyCursor {
    private var rest: ArraySlice<UInt8>

    init(_ body: ArraySlice<UInt8>) {
        rest = body
    }

    mutating func number() throws(MessageError) -> UInt32 {
        try take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func count(atMost most: Int, _ what: String) throws(MessageError) -> Int {
        let count = Int(try take(1).first ?? 0)
        guard count <= most else {
            throw MessageError(fault: .form, problem: "it has \(count) \(what), and \(most) are the most")
        }
        return count
    }

    mutating func name() throws(MessageError) -> String {
        let bytes = try take(Int(try take(1).first ?? 0))
        guard Message.isName(bytes) else {
            throw MessageError(fault: .form, problem: "a name of \(bytes.count) bytes is none")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    mutating func value(_ name: String) throws(MessageError) -> MessageValue {
        let code = try take(1).first ?? 0
        let axes = try count(atMost: Message.maximumAxes, "axes")
        guard let type = MessageValue.ElementType(rawValue: code) else {
            throw MessageError(fault: .form, problem: "value \(name) is of the unknown type \(code)")
        }
        var shape: [Int] = []
        for _ in 0..<axes { shape.append(Int(try number())) }
        if type == .text {
            return try text(name, shape)
        }
        guard !shape.contains(0) else {
            throw MessageError(fault: .form, problem: "array \(name) has an axis of size 0")
        }
        var size = type.size
        for side in shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: side)
            // What cannot fit is as wrong as what does not.
            size = overflow ? Int.max : product
        }
        return MessageValue(type: type, shape: shape, bytes: Array(try take(size)))
    }

    private mutating func text(_ name: String, _ shape: [Int]) throws(MessageError) -> MessageValue {
        guard let size = shape.first, shape.count == 1 else {
            throw MessageError(fault: .form, problem: "text \(name) has \(shape.count) axes")
        }
        let bytes = try take(size)
        // Whatever is not UTF-8 changes when it is repaired.
        guard String(decoding: bytes, as: UTF8.self).utf8.elementsEqual(bytes) else {
            throw MessageError(fault: .form, problem: "text \(name) is not UTF-8")
        }
        return MessageValue(type: .text, shape: shape, bytes: Array(bytes))
    }

    func end() throws(MessageError) {
        guard rest.isEmpty else {
            throw MessageError(fault: .form, problem: "\(rest.count) bytes follow its last value")
        }
    }

    private mutating func take(_ count: Int) throws(MessageError) -> ArraySlice<UInt8> {
        guard count <= rest.count else {
            throw MessageError(fault: .form, problem: "its body lacks \(count - rest.count) bytes")
        }
        let taken = rest.prefix(count)
        rest = rest.dropFirst(count)
        return taken
    }
}
