/// What was asked for, the newest first, each prompt once with the scales that it had last.
public struct PromptHistory: Sendable, Equatable {
    /// Instructions that are kept.
    public static let capacity = 50

    /// The newest first.
    public private(set) var instructions: [EditInstruction] = []

    /// Nothing was asked for yet.
    public init() {}

    /// What was asked for before the newest; nil where nothing was.
    public var previous: EditInstruction? { instructions.dropFirst().first }

    /// Puts an instruction in front.
    public mutating func record(_ instruction: EditInstruction) {
        instructions.removeAll { $0.prompt.isExactly(instruction.prompt) }
        instructions.insert(instruction, at: 0)
        if instructions.count > Self.capacity { instructions.removeLast() }
    }

    /// Forgets everything.
    public mutating func clear() {
        instructions = []
    }
}

extension PromptHistory: Codable {
    /// Reads a list of instructions, as many as are kept.
    public init(from decoder: any Decoder) throws {
        for instruction in try [EditInstruction](from: decoder).prefix(Self.capacity).reversed() {
            record(instruction)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        try instructions.encode(to: encoder)
    }
}
