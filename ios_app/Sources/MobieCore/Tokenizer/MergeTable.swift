/// Byte-pair merges: which neighbours become one token, in which order.
struct MergeTable: Sendable {
    private struct Merge {
        let rank: Int32
        let merged: Int32
    }

    private static let endOfWord = "</w>"

    let vocabularySize: Int
    private var merges: [UInt64: Merge] = [:]
    /// Symbols of the 256 bytes, inside a word and at its end. Those of `vocabularySize` and above are no tokens.
    private var inside: [Int32] = []
    private var last: [Int32] = []

    init(vocabulary: [ExactString: Int32], merges text: [UInt8]) throws(TokenizerError) {
        vocabularySize = vocabulary.count
        var symbols = vocabulary
        func symbol(_ name: String) -> Int32 {
            let key = ExactString(name)
            if let known = symbols[key] { return known }
            let made = Int32(symbols.count)
            symbols[key] = made
            return made
        }
        for character in Self.byteAlphabet {
            inside.append(symbol(String(character)))
            last.append(symbol(String(character) + Self.endOfWord))
        }
        for (first, second, merged) in try Self.readMerges(text, vocabulary) {
            let key = Self.pair(symbol(first), symbol(second))
            // The first of equal lines counts.
            if merges[key] == nil { merges[key] = Merge(rank: Int32(merges.count), merged: merged) }
        }
    }

    /// Adds the ids of a word; a byte that the vocabulary lacks becomes `unknown`.
    func appendIDs(of word: ArraySlice<UInt32>, unknown: Int32, to ids: inout [Int32]) {
        var bytes: [UInt8] = []
        for code in word {
            if code < 0x80 {
                bytes.append(UInt8(code))
            } else if let scalar = Unicode.Scalar(code) {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.EncodedScalar())
            }
        }
        guard let final = bytes.last else { return }
        var symbols = bytes.dropLast().map { inside[Int($0)] } + [last[Int(final)]]
        merge(&symbols)
        for symbol in symbols { ids.append(symbol < vocabularySize ? symbol : unknown) }
    }

    /// Joins, again and again, all neighbours that form the pair of lowest rank.
    private func merge(_ symbols: inout [Int32]) {
        while symbols.count > 1 {
            var best: (key: UInt64, merge: Merge)?
            for index in 1..<symbols.count {
                let key = Self.pair(symbols[index - 1], symbols[index])
                if let found = merges[key], found.rank < best?.merge.rank ?? .max { best = (key, found) }
            }
            guard let best else { return }
            var joined: [Int32] = []
            joined.reserveCapacity(symbols.count)
            for symbol in symbols {
                if let before = joined.last, Self.pair(before, symbol) == best.key {
                    joined[joined.count - 1] = best.merge.merged
                } else {
                    joined.append(symbol)
                }
            }
            symbols = joined
        }
    }

    private static func pair(_ first: Int32, _ second: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: first)) << 32 | UInt64(UInt32(bitPattern: second))
    }

    /// The printable character for each of the 256 bytes, as GPT-2 and CLIP write them: printable Latin-1 characters
    /// stand for themselves, the others for the characters from U+0100 on, in order.
    private static let byteAlphabet: [Character] = {
        var following: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            var code = byte
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: break
            default:
                code = following
                following += 1
            }
            guard let scalar = Unicode.Scalar(code) else { preconditionFailure("\(code) is no character") }
            return Character(scalar)
        }
    }()

    /// Reads `vocab.json`.
    static func readVocabulary(_ bytes: [UInt8]) throws(TokenizerError) -> [ExactString: Int32] {
        let file = "vocab.json"
        let document: JSONValue
        do {
            document = try JSONParser.parse(bytes)
        } catch {
            throw .damaged(file: file, problem: "not valid JSON: \(error.problem) at byte \(error.offset)")
        }
        guard case .object(let members) = document else {
            throw .damaged(file: file, problem: "not a map from tokens to ids")
        }
        var ids: [ExactString: Int32] = [:]
        var seen = [Bool](repeating: false, count: members.members.count)
        for (name, value) in members.members {
            guard case .integer(let id) = value, seen.indices.contains(id), !seen[id] else {
                throw .damaged(file: file, problem: "the ids are not 0 to \(seen.count - 1), each once")
            }
            seen[id] = true
            ids[ExactString(name)] = Int32(id)
        }
        return ids
    }

    private static func readMerges(
        _ bytes: [UInt8], _ vocabulary: [ExactString: Int32]
    ) throws(TokenizerError) -> [(String, String, Int32)] {
        guard let text = String(exactUTF8: bytes) else {
            throw .damaged(file: "merges.txt", problem: "not valid UTF-8")
        }
        // By bytes: what Swift takes for one character may hold a line's end.
        var lines = text.utf8.split(omittingEmptySubsequences: false) { $0 == 0x0A || $0 == 0x0D }
        if let first = lines.first, first.starts(with: "#version".utf8) { lines.removeFirst() }
        var made: [(String, String, Int32)] = []
        for line in lines where !line.isEmpty {
            let sides = line.split(separator: 0x20, omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
            guard sides.count == 2, let merged = vocabulary[ExactString(sides[0] + sides[1])] else {
                let problem =
                    "'\(String(decoding: line, as: UTF8.self))' is not a pair whose union is in the vocabulary"
                throw .damaged(file: "merges.txt", problem: problem)
            }
            made.append((sides[0], sides[1], merged))
        }
        return made
    }
}
