/// One message between a host and `mobie serve`; docs/process-backend.md describes its bytes.
public struct Message: Sendable, Equatable {
    /// What a message is.
    public enum Kind: UInt8, Sendable {
        /// A host asks for something.
        case call = 1
        /// The answer.
        case result
        /// Why there is no answer.
        case failure
    }

    /// Version of the protocol.
    public static let version: UInt8 = 1
    /// Bytes of a body at most.
    public static let maximumBodyBytes = 1 << 28
    /// Values at most.
    public static let maximumValues = 64
    /// Axes of a value at most.
    public static let maximumAxes = 8
    /// Characters of a name at most.
    public static let maximumNameLength = 128

    static let magic: [UInt8] = Array("MOB".utf8)
    static let headerBytes = 16

    /// What it is.
    public let kind: Kind
    /// Of the call; the answer has the same. Not 0, and larger than that of the call before.
    public let id: UInt32
    /// What is called; the answer has the same.
    public let name: String
    /// By name.
    public let values: [String: MessageValue]

    /// A message.
    public init(kind: Kind, id: UInt32, name: String, values: [String: MessageValue] = [:]) {
        (self.kind, self.id, self.name, self.values) = (kind, id, name, values)
    }

    /// Whether a name has only characters that names have, and is neither empty nor too long.
    static func isName(_ bytes: some Collection<UInt8>) -> Bool {
        (1...maximumNameLength).contains(bytes.count)
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}

/// Text, or numbers in row-major order.
public struct MessageValue: Sendable, Equatable {
    /// Types of elements.
    public enum ElementType: UInt8, Sendable {
        /// UTF-8.
        case text = 1
        /// Unsigned bytes.
        case uint8
        /// 32-bit integers.
        case int32
        /// 64-bit integers.
        case int64
        /// Half precision.
        case float16
        /// Single precision.
        case float32

        /// Bytes of an element.
        public var size: Int {
            switch self {
            case .text, .uint8: 1
            case .float16: 2
            case .int32, .float32: 4
            case .int64: 8
            }
        }
    }

    /// Of every element.
    public let type: ElementType
    /// Sizes of the axes; none for a single number.
    public let shape: [Int]
    /// Little-endian.
    public let bytes: [UInt8]

    /// A value of bytes, as many as type and shape say.
    ///
    /// - Precondition: They are that many.
    public init(type: ElementType, shape: [Int], bytes: [UInt8]) {
        precondition(bytes.count == shape.reduce(type.size, *), "A value needs the bytes that its shape says.")
        (self.type, self.shape, self.bytes) = (type, shape, bytes)
    }

    /// Text.
    public init(_ text: String) {
        let bytes = Array(text.utf8)
        self.init(type: .text, shape: [bytes.count], bytes: bytes)
    }

    /// Integers along one axis.
    public init(_ numbers: [Int32]) {
        self.init(type: .int32, shape: [numbers.count], bytes: numbers.flatMap(Self.littleEndian))
    }

    /// Integers along one axis.
    public init(_ numbers: [Int64]) {
        self.init(type: .int64, shape: [numbers.count], bytes: numbers.flatMap(Self.littleEndian))
    }

    /// A single integer.
    public init(_ number: Int64) {
        self.init(type: .int64, shape: [], bytes: Self.littleEndian(number))
    }

    /// Single-precision numbers.
    public init(_ numbers: [Float], shape: [Int]) {
        self.init(type: .float32, shape: shape, bytes: numbers.flatMap { Self.littleEndian($0.bitPattern) })
    }

    /// Half-precision numbers, as their bits.
    public init(halves: [UInt16], shape: [Int]) {
        self.init(type: .float16, shape: shape, bytes: halves.flatMap(Self.littleEndian))
    }

    /// The same numbers with axes of other sizes.
    ///
    /// - Precondition: They hold as many elements.
    public func reshaped(_ shape: [Int]) -> MessageValue {
        MessageValue(type: type, shape: shape, bytes: bytes)
    }

    /// The text; nil where it holds numbers.
    public var text: String? {
        type == .text ? String(decoding: bytes, as: UTF8.self) : nil
    }

    /// Its integers; nil where it holds others than int64.
    public var integers: [Int64]? {
        type == .int64 ? load(UInt64.self).map { Int64(bitPattern: UInt64(littleEndian: $0)) } : nil
    }

    /// Its single-precision numbers; nil where it holds others.
    public var singles: [Float]? {
        type == .float32 ? load(UInt32.self).map { Float(bitPattern: UInt32(littleEndian: $0)) } : nil
    }

    /// The bits of its half-precision numbers; nil where it holds others.
    public var halves: [UInt16]? {
        type == .float16 ? load(UInt16.self).map(UInt16.init(littleEndian:)) : nil
    }

    private func load<Bits: FixedWidthInteger & BitwiseCopyable>(_: Bits.Type) -> [Bits] {
        let size = MemoryLayout<Bits>.size
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / size).map { raw.loadUnaligned(fromByteOffset: $0 * size, as: Bits.self) }
        }
    }

    private static func littleEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        Swift.withUnsafeBytes(of: number.littleEndian) { [UInt8]($0) }
    }
}
