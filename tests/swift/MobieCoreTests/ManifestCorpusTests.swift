import Testing

@testable import MobieCore

/// The corpus that Python replays too: what is accepted, and which field an error names.
struct ManifestCorpusTests {
    struct Corpus: Decodable {
        struct Case: Decodable {
            let name: String
            let base: String
            let at: Int
            let removed: Int
            let inserted: String
            let kind: String
            let field: String
        }

        let bases: [String: String]
        let cases: [Case]

        func text(of one: Case) throws -> [UInt8] {
            var text = Array(try #require(bases[one.base]).utf8)
            text.replaceSubrange(one.at..<one.at + one.removed, with: Array(one.inserted.utf8))
            return text
        }
    }

    private static let kinds: [ManifestError.Reason: String] = [
        .notJSON: "json", .version: "version", .form: "manifest", .contradiction: "manifest",
    ]

    @Test func everyCaseEndsAsInPython() throws {
        let corpus: Corpus = try Vectors.decode("manifests.json")
        #expect(corpus.cases.count > 450)
        let reader = try ManifestReader()
        for one in corpus.cases {
            var found = (kind: "", field: "")
            do {
                _ = try reader.read(try corpus.text(of: one))
            } catch let error as ManifestError {
                found = (Self.kinds[error.reason] ?? "", error.field)
                #expect(error.errorDescription?.isEmpty == false)
                #expect(error.recoverySuggestion?.isEmpty == false)
            }
            #expect(found == (one.kind, one.field), "\(one.name)")
        }
    }
}

/// Random numbers with a seed (Steele, Lea and Flood 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
