import Foundation
import Testing

@testable import MobieCore

struct TokenizerTests {
    /// Reads `prompts.bin`, whose form scripts/vectors/prompts.py describes.
    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func word() -> Int {
            defer { position += 2 }
            return Int(bytes[position]) | Int(bytes[position + 1]) << 8
        }

        mutating func text() -> String {
            let count = word()
            defer { position += count }
            return String(decoding: bytes[position..<position + count], as: UTF8.self)
        }
    }

    @Test func goldenPromptsHaveTheirIDs() throws {
        let tokenizer = try Models.tokenizer()
        var reader = Reader(bytes: try Vectors.bytes("tests/vectors/prompts.bin"))
        var prompts = 0
        var wrong: [String] = []
        while reader.position < reader.bytes.count {
            let prompt = reader.text()
            let count = reader.word()
            let ids = (0..<reader.word()).map { _ in Int32(reader.word()) }
            let found = try tokenizer.encode(prompt, truncate: true)
            let padded = ids + Array(repeating: ids.last ?? 0, count: 77 - ids.count)
            if found.ids != padded || found.count != count || found.isTruncated != (count > 77) { wrong.append(prompt) }
            prompts += 1
        }
        #expect(prompts == 10_000)
        #expect(wrong.isEmpty, "\(wrong.count) differ, the first is \(wrong.first?.debugDescription ?? "")")
    }

    @Test func aPromptThatIsTooLongIsRefusedOrCut() throws {
        let tokenizer = try Models.tokenizer()
        let fits = String(repeating: "snow ", count: 75)
        let long = fits + "snow"
        #expect(try tokenizer.encode(fits).isTruncated == false)
        #expect(throws: TokenizerError.tooLong(count: 78, positions: 77)) { try tokenizer.encode(long) }
        let cut = try tokenizer.encode(long, truncate: true)
        #expect(cut.isTruncated)
        #expect(cut.count == 78)
        #expect(cut.ids == (try tokenizer.encode(fits).ids))
    }

    @Test func aByteThatTheVocabularyLacksIsTheUnknownToken() throws {
        let vocabulary = #"{"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}"#
        let tokenizer = try CLIPTokenizer(vocabulary: Array(vocabulary.utf8), merges: Array("#version: 0.2\r\n".utf8))
        #expect(try tokenizer.encode("a é aa").ids.prefix(8) == [2, 1, 3, 3, 0, 1, 3, 3])
    }

    @Test(arguments: [
        ("", ""), ("[]", ""), ("{\"a\": 0}", ""), ("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 2}", ""),
        ("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1.5}", ""),
        ("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}", "a b"),
        ("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"ab\": 2}", "a b c"),
        ("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"ab\": 2}", "ab"),
    ])
    func damagedFilesAreRefused(vocabulary: String, merges: String) {
        #expect(throws: TokenizerError.self) {
            try CLIPTokenizer(vocabulary: Array(vocabulary.utf8), merges: Array(merges.utf8))
        }
    }

    @Test func aModelFolderGivesItsTokenizer() throws {
        let folder = try TemporaryFolder()
        #expect(throws: TokenizerError.unreadable(file: "tokenizer/vocab.json")) {
            try CLIPTokenizer(modelFolder: folder.url)
        }
        try Models.writeTokenizer(to: folder)
        let tokenizer = try Models.tokenizer()
        let read = try CLIPTokenizer(modelFolder: folder.url)
        #expect(read.vocabularySize == tokenizer.vocabularySize)
        #expect(try read.encode("make it snow") == (try tokenizer.encode("make it snow")))
    }

    @Test func compositionFollowsTheStandardsExamples() {
        let unicode = UnicodeData.shared
        func composed(_ text: String) -> [UInt32] { unicode.composed(text.unicodeScalars.map(\.value)) }
        // Unicode Standard Annex 15, tables and figures: singletons, marks out of order, Hangul, blocked marks.
        #expect(composed("\u{212B}") == [0xC5])
        #expect(composed("s\u{307}\u{323}") == [0x1E69])
        #expect(composed("\u{1E0B}\u{323}") == [0x1E0D, 0x307])
        #expect(composed("\u{1102}\u{116E}\u{11AB}") == [0xB208])
    }
}
