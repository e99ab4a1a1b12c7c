import Foundation
import MobieCore

/// The command line is not what the program takes.
struct UsageError: Error {
    /// What is wrong with it.
    let problem: String

    init(_ problem: String) {
        self.problem = problem
    }
}

/// What stands on the command line; whoever reads something takes it away, and what is left at the end is a mistake.
struct Arguments {
    private var rest: [String]

    init(_ arguments: [String]) {
        rest = arguments
    }

    /// Whether a flag is there.
    mutating func takeFlag(_ name: String) -> Bool {
        guard let index = rest.firstIndex(of: name) else { return false }
        rest.remove(at: index)
        return true
    }

    /// What follows a name, nil where the name is not there.
    mutating func takeValue(_ name: String) throws(UsageError) -> String? {
        guard let index = rest.firstIndex(of: name) else { return nil }
        guard index + 1 < rest.count, !rest[index + 1].hasPrefix("--") else {
            throw UsageError("\(name) needs a value.")
        }
        let value = rest[index + 1]
        rest.removeSubrange(index...index + 1)
        return value
    }

    /// What follows a name that must be there.
    mutating func required(_ name: String) throws(UsageError) -> String {
        guard let value = try takeValue(name) else { throw UsageError("\(name) is missing.") }
        return value
    }

    /// A number, nil where the name is not there.
    mutating func takeNumber(_ name: String) throws(UsageError) -> Double? {
        guard let text = try takeValue(name) else { return nil }
        guard let number = Double(text), number.isFinite else { throw UsageError("\(name) takes a number.") }
        return number
    }

    /// One of a few values, nil where the name is not there.
    mutating func takeChoice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, of type: Choice.Type
    ) throws(UsageError) -> Choice? where Choice.RawValue == String {
        guard let text = try takeValue(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw UsageError("\(name) takes one of \(Choice.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return choice
    }

    /// What is to be changed, by `--prompt` and both scales.
    mutating func takeInstruction() throws(UsageError) -> EditInstruction {
        EditInstruction(
            prompt: try required("--prompt"), textGuidance: try takeNumber("--text-guidance"),
            imageGuidance: try takeNumber("--image-guidance"))
    }

    /// What else all modes that edit a clip take.
    struct Common: Equatable {
        /// Frames at most.
        let frames: Int?
        /// Of the noise.
        let seed: UInt64
        /// How a frame is brought to the model's size.
        let fit: FrameFit
        /// Where the report goes; standard output without it.
        let statistics: URL?
        /// Files that exist are replaced.
        let replaces: Bool
    }

    /// Takes it.
    mutating func takeCommon() throws(UsageError) -> Common {
        let frames = try takeInteger("--frames", in: 1...Int(Int32.max))
        var seed: UInt64 = 0
        if let text = try takeValue("--seed") {
            guard let number = UInt64(text) else {
                throw UsageError("--seed takes a whole number from 0 to 2^64 - 1.")
            }
            seed = number
        }
        let fit = try takeChoice("--fit", of: FrameFit.self) ?? .cover
        let replaces = takeFlag("--force")
        let statistics = try takeValue("--statistics").map { URL(fileURLWithPath: $0) }
        if let statistics { try Output.check(statistics, replaces: replaces) }
        return Common(frames: frames, seed: seed, fit: fit, statistics: statistics, replaces: replaces)
    }

    /// A whole number in a range, nil where the name is not there.
    mutating func takeInteger(_ name: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = try takeValue(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw UsageError("\(name) takes a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// Refuses what nobody took.
    func checkEmpty() throws(UsageError) {
        if let first = rest.first { throw UsageError("'\(first)' is not known here.") }
    }
}
