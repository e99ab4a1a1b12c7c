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
        for one in corpus.cases {
            var found = (kind: "", field: "")
            do {
                _ = try ModelManifest(parsing: try corpus.text(of: one))
            } catch let error as ManifestError {
                found = (Self.kinds[error.reason] ?? "", error.field)
                #expect(error.errorDescription?.isEmpty == false)
                #expect(error.recoverySuggestion?.isEmpty == false)
            }
            #expect(found == (one.kind, one.field), "\(one.name)")
        }
    }

    /// A manifest cut anywhere, or with any byte replaced, is read or refused; nothing else happens.
    @Test func damagedTextsAreReadOrRefused() throws {
        let corpus: Corpus = try Vectors.decode("manifests.json")
        let whole = Array(try #require(corpus.bases["three-pass"]).utf8)
        var source = SplitMix(state: 6)
        for _ in 0..<150 {
            var text = whole
            switch source.next() % 3 {
            case 0: text.removeLast(Int(source.next() % UInt64(text.count)))
            case 1: text[Int(source.next() % UInt64(text.count))] = UInt8(truncatingIfNeeded: source.next())
            default:
                let at = Int(source.next() % UInt64(text.count))
                text.replaceSubrange(at..<min(at + 9, text.count), with: Array("[{\"9,}]".utf8))
            }
            do throws(ManifestError) {
                _ = try ModelManifest(parsing: text)
            } catch {
                #expect(error.errorDescription?.isEmpty == false)
            }
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
