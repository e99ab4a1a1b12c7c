extension Message {
    /// The bytes of the message.
    ///
    /// - Throws: `MessageError` where it is larger than a message may be, or has a name or shape that none may have.
    public func encoded() throws(MessageError) -> [UInt8] {
        guard values.count <= Self.maximumValues else {
            throw MessageError(
                fault: .form, problem: "it has \(values.count) values, and \(Self.maximumValues) are the most")
        }
        guard id != 0 else { throw MessageError(fault: .form, problem: "its id is 0") }
        let length = try bodyLength()
        guard length <= Self.maximumBodyBytes else {
            throw MessageError(fault: .tooLarge, problem: "its body has \(length) bytes")
        }
        var made = Self.magic + [Self.version, kind.rawValue, 0, 0, 0]
        made.reserveCapacity(Self.headerBytes + length)
        made.append(littleEndian: id)
        made.append(littleEndian: UInt32(length))
        made.append(name: name)
        made.append(UInt8(values.count))
        // Names are ASCII, so that the order of characters is that of bytes.
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            made.append(name: key)
            made += [value.type.rawValue, UInt8(value.shape.count)]
            for size in value.shape { made.append(littleEndian: UInt32(size)) }
            made += value.bytes
        }
        return made
    }

    private func bodyLength() throws(MessageError) -> Int {
        var length = 1 + name.utf8.count + 1
        for key in [name] + values.keys where !Self.isName(key.utf8) {
            throw MessageError(fault: .form, problem: "'\(key.prefix(40))' is no name")
        }
        for (key, value) in values {
            guard value.shape.count <= Self.maximumAxes else {
                throw MessageError(
                    fault: .form,
                    problem: "it has \(value.shape.count) axes, and \(Self.maximumAxes) are the most")
            }
            guard value.type == .text || !value.shape.contains(0) else {
                throw MessageError(fault: .form, problem: "array \(key) has an axis of size 0")
            }
            length += 1 + key.utf8.count + 2 + 4 * value.shape.count + value.bytes.count
        }
        return length
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian number: UInt32) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// A length in one byte, then the name.
    fileprivate mutating func append(name: String) {
        append(UInt8(name.utf8.count))
        append(contentsOf: name.utf8)
    }
}
