import Foundation

/// CLIP's byte-pair tokenizer: the same ids as transformers' CLIPTokenizer and as `mobie` in Python.
///
/// Text is composed (NFC), white space collapsed, lower-cased, split into words, and every word's UTF-8 bytes, written
/// as printable characters, are merged pair by pair, lowest rank first. Unicode's tables are the package's own, so that
/// a prompt has the same ids on every system.
public struct CLIPTokenizer: Sendable {
    /// A tokenized prompt.
    public struct Encoding: Sendable, Equatable {
        /// Start, words, end, then padding (the end token); as many as the model has positions.
        public let ids: [Int32]
        /// Ids that the prompt needs, start and end included.
        public let count: Int
        /// Whether the end of the prompt was cut off.
        public let isTruncated: Bool
    }

    private static let start = "<|startoftext|>"
    private static let end = "<|endoftext|>"

    /// Number of ids of every prompt.
    public let positions: Int
    /// Number of ids there are.
    public var vocabularySize: Int { table.vocabularySize }

    private let table: MergeTable
    private let startID: Int32
    private let endID: Int32
    private let unicode = UnicodeData.shared

    /// Reads `tokenizer/vocab.json` and `tokenizer/merges.txt` of a model folder.
    ///
    /// - Throws: `TokenizerError` where a file is missing or broken.
    public init(modelFolder: URL, positions: Int = 77) throws(TokenizerError) {
        var contents: [[UInt8]] = []
        for name in ["tokenizer/vocab.json", "tokenizer/merges.txt"] {
            guard let data = try? Data(contentsOf: modelFolder.appendingPathComponent(name)) else {
                throw .unreadable(file: name)
            }
            contents.append([UInt8](data))
        }
        try self.init(vocabulary: contents[0], merges: contents[1], positions: positions)
    }

    /// A tokenizer of two files in CLIP's format.
    ///
    /// - Parameters:
    ///   - vocabulary: `vocab.json`: a token to id map with ids 0 to n - 1.
    ///   - merges: `merges.txt`: a version line, then one pair a line, most important first.
    ///   - positions: Ids of every prompt.
    /// - Throws: `TokenizerError.damaged`.
    /// - Precondition: `positions` hold start and end, so 2 or more.
    public init(vocabulary: [UInt8], merges: [UInt8], positions: Int = 77) throws(TokenizerError) {
        precondition(positions >= 2, "A prompt needs room for its start and its end.")
        let ids = try MergeTable.readVocabulary(vocabulary)
        for token in [Self.start, Self.end] where ids[ExactString(token)] == nil {
            throw .damaged(file: "vocab.json", problem: "it lacks \(token)")
        }
        startID = ids[ExactString(Self.start)] ?? 0
        endID = ids[ExactString(Self.end)] ?? 0
        table = try MergeTable(vocabulary: ids, merges: merges)
        self.positions = positions
    }

    /// Tokenizes a prompt.
    ///
    /// - Parameters:
    ///   - prompt: Any text; the empty one is the null prompt of guidance.
    ///   - truncate: Cut what does not fit instead of refusing it.
    /// - Throws: `TokenizerError.tooLong` where the prompt does not fit and `truncate` is false.
    public func encode(_ prompt: String, truncate: Bool = false) throws(TokenizerError) -> Encoding {
        var ids = [startID]
        for part in parts(prompt.unicodeScalars.map(\.value)) {
            switch part {
            case .special(let id): ids.append(id)
            case .text(let codes): appendWords(of: codes, to: &ids)
            }
        }
        ids.append(endID)
        let count = ids.count
        if count > positions {
            guard truncate else { throw .tooLong(count: count, positions: positions) }
            ids.removeLast(count - positions + 1)
            ids.append(endID)
        }
        ids.append(contentsOf: repeatElement(endID, count: positions - ids.count))
        return Encoding(ids: ids, count: count, isTruncated: count > positions)
    }

    private enum Part {
        case special(Int32)
        case text(ArraySlice<UInt32>)
    }

    /// The prompt cut at its special tokens.
    private func parts(_ codes: [UInt32]) -> [Part] {
        let specials = [(Self.start, startID), (Self.end, endID)].map { ($0.0.unicodeScalars.map(\.value), $0.1) }
        var found: [Part] = []
        var (textStart, position) = (0, 0)
        while position < codes.count {
            let special = codes[position] == 0x3C ? specials.first { codes[position...].starts(with: $0.0) } : nil
            guard let (token, id) = special else {
                position += 1
                continue
            }
            found += [.text(codes[textStart..<position]), .special(id)]
            position += token.count
            textStart = position
        }
        return found + [.text(codes[textStart...])]
    }

    private func appendWords(of text: ArraySlice<UInt32>, to ids: inout [Int32]) {
        let codes = unicode.lowered(unicode.composed(Array(text)))
        var position = 0
        while position < codes.count {
            let end = wordEnd(codes, position)
            if end > position {
                table.appendIDs(of: codes[position..<end], unknown: endID, to: &ids)
                position = end
            } else {
                position += 1
            }
        }
    }

    /// Where the word that begins at a place ends; the place itself where there is a space. A word is an English
    /// ending after an apostrophe, a run of letters, one number, or a run of anything else.
    private func wordEnd(_ codes: [UInt32], _ start: Int) -> Int {
        if codes[start] == 0x27 {
            for ending in Self.endings where codes[(start + 1)...].starts(with: ending) {
                return start + 1 + ending.count
            }
        }
        switch kind(codes[start]) {
        case .space: return start
        case .number: return start + 1
        case let kind: return codes[start...].firstIndex { self.kind($0) != kind } ?? codes.count
        }
    }

    private enum Kind {
        case letter, number, space, other
    }

    private func kind(_ code: UInt32) -> Kind {
        if unicode.isLetter(code) { return .letter }
        if unicode.isSpace(code) { return .space }
        return unicode.isNumber(code) ? .number : .other
    }

    private static let endings: [[UInt32]] = ["s", "t", "re", "ve", "m", "ll", "d"].map {
        $0.unicodeScalars.map(\.value)
    }
}
