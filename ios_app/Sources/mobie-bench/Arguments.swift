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
