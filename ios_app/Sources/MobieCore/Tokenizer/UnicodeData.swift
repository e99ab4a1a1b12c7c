/// What the tokenizer must know of Unicode, from tables of its own: categories, lower case and composition (NFC).
struct UnicodeData: Sendable {
    /// Read once.
    static let shared = UnicodeData()

    private let letters: [ClosedRange<UInt32>]
    private let numbers: [ClosedRange<UInt32>]
    private let lowerCase: [UInt32: [UInt32]]
    private let combiningClasses: [UInt32: UInt8]
    private let decompositions: [UInt32: [UInt32]]
    private let compositions: [UInt64: UInt32]

    private init() {
        letters = Self.runs(UnicodeTables.letters).map(\.range)
        numbers = Self.runs(UnicodeTables.numbers).map(\.range)
        lowerCase = Self.mapping(UnicodeTables.lowerCase)
        var classes: [UInt32: UInt8] = [:]
        for run in Self.runs(UnicodeTables.combiningClasses) {
            for code in run.range { classes[code] = UInt8(run.value) }
        }
        combiningClasses = classes
        decompositions = Self.mapping(UnicodeTables.decompositions)
        let excluded = Set(UnicodeTables.compositionExclusions.split(whereSeparator: \.isWhitespace).map(Self.number))
        var pairs: [UInt64: UInt32] = [:]
        for (code, parts) in decompositions where parts.count == 2 && !excluded.contains(code) {
            pairs[Self.pair(parts[0], parts[1])] = code
        }
        compositions = pairs
    }

    /// Category L.
    func isLetter(_ code: UInt32) -> Bool {
        if code < 0x80 { return (0x61...0x7A).contains(code) || (0x41...0x5A).contains(code) }
        return Self.contains(letters, code)
    }

    /// Category N.
    func isNumber(_ code: UInt32) -> Bool {
        if code < 0x80 { return (0x30...0x39).contains(code) }
        return Self.contains(numbers, code)
    }

    /// The property White_Space.
    func isSpace(_ code: UInt32) -> Bool {
        switch code {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Each character's own lower case, whatever stands beside it.
    func lowered(_ codes: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(codes.count)
        for code in codes {
            if code < 0x80 {
                result.append((0x41...0x5A).contains(code) ? code + 32 : code)
            } else if let lower = lowerCase[code] {
                result.append(contentsOf: lower)
            } else {
                result.append(code)
            }
        }
        return result
    }

    /// Normalization form C (Unicode Standard Annex 15).
    func composed(_ codes: [UInt32]) -> [UInt32] {
        // Below U+0300 every text has that form already.
        if codes.allSatisfy({ $0 < 0x300 }) { return codes }
        var decomposed: [UInt32] = []
        for code in codes { decompose(code, into: &decomposed) }
        order(&decomposed)
        return compose(decomposed)
    }

    private func decompose(_ code: UInt32, into result: inout [UInt32]) {
        if let parts = Hangul.decomposed(code) {
            result.append(contentsOf: parts)
        } else if let parts = decompositions[code] {
            for part in parts { decompose(part, into: &result) }
        } else {
            result.append(code)
        }
    }

    /// Sorts every run of combining characters by class; equal classes keep their order.
    private func order(_ codes: inout [UInt32]) {
        var start = 0
        while start < codes.count {
            guard combiningClass(codes[start]) != 0 else {
                start += 1
                continue
            }
            var end = start
            while end < codes.count, combiningClass(codes[end]) != 0 { end += 1 }
            let sorted = codes[start..<end].enumerated().sorted {
                let (left, right) = (combiningClass($0.element), combiningClass($1.element))
                return left == right ? $0.offset < $1.offset : left < right
            }
            codes.replaceSubrange(start..<end, with: sorted.map(\.element))
            start = end
        }
    }

    private func compose(_ codes: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(codes.count)
        var starter: Int?
        var last: UInt8 = 0
        for code in codes {
            let kind = combiningClass(code)
            if let place = starter, last == 0 || last < kind, let both = composition(result[place], code) {
                result[place] = both
                continue
            }
            if kind == 0 { starter = result.count }
            last = kind
            result.append(code)
        }
        return result
    }

    private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        Hangul.composed(first, second) ?? compositions[Self.pair(first, second)]
    }

    private func combiningClass(_ code: UInt32) -> UInt8 {
        code < 0x300 ? 0 : combiningClasses[code] ?? 0
    }

    private static func pair(_ first: UInt32, _ second: UInt32) -> UInt64 {
        UInt64(first) << 32 | UInt64(second)
    }

    private static func contains(_ ranges: [ClosedRange<UInt32>], _ code: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < code { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(code)
    }

    private static func number(_ digits: Substring) -> UInt32 {
        guard let value = UInt32(digits, radix: 16) else { preconditionFailure("A table of Unicode is damaged.") }
        return value
    }

    /// Runs of "gap.length less one" or "gap.length less one.value".
    private static func runs(_ table: String) -> [(range: ClosedRange<UInt32>, value: UInt32)] {
        var end: UInt32 = 0
        return table.split(whereSeparator: \.isWhitespace).map { word in
            let numbers = word.split(separator: ".").map(number)
            let first = end + numbers[0]
            end = first + numbers[1]
            return (first...end, numbers.count > 2 ? numbers[2] : 0)
        }
    }

    /// Characters of "gap:code+code".
    private static func mapping(_ table: String) -> [UInt32: [UInt32]] {
        var made: [UInt32: [UInt32]] = [:]
        var code: UInt32 = 0
        for word in table.split(whereSeparator: \.isWhitespace) {
            let sides = word.split(separator: ":")
            code += number(sides[0])
            made[code] = sides[1].split(separator: "+").map(number)
        }
        return made
    }
}

/// Korean syllables and their letters, by arithmetic (The Unicode Standard, section 3.12).
private enum Hangul {
    private static let (syllables, leads, vowels, tails): (UInt32, UInt32, UInt32, UInt32) = (
        0xAC00, 0x1100, 0x1161, 0x11A7
    )
    private static let (leadCount, vowelCount, tailCount): (UInt32, UInt32, UInt32) = (19, 21, 28)

    static func decomposed(_ code: UInt32) -> [UInt32]? {
        guard (syllables..<syllables + leadCount * vowelCount * tailCount).contains(code) else { return nil }
        let index = code - syllables
        let pair = [
            leads + index / (vowelCount * tailCount), vowels + index % (vowelCount * tailCount) / tailCount,
        ]
        let tail = index % tailCount
        return tail == 0 ? pair : pair + [tails + tail]
    }

    static func composed(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (leads..<leads + leadCount).contains(first), (vowels..<vowels + vowelCount).contains(second) {
            return syllables + ((first - leads) * vowelCount + second - vowels) * tailCount
        }
        let isOpen = (syllables..<syllables + leadCount * vowelCount * tailCount).contains(first)
        if isOpen, (first - syllables) % tailCount == 0, (tails + 1..<tails + tailCount).contains(second) {
            return first + second - tails
        }
        return nil
    }
}
