import Testing

@testable import MobieCore

/// Damaged files are read, or refused with an error that says what to do; nothing else happens.
struct FuzzTests {
    @Test func damagedManifestsAreReadOrRefused() throws {
        let seed = Effort.seed(of: "manifests")
        let corpus: ManifestCorpusTests.Corpus = try Vectors.decode("manifests.json")
        let bases = corpus.bases.sorted { $0.key < $1.key }.map { Array($0.value.utf8) }
        let reader = try ManifestReader()
        var mutator = Mutator(seed: seed)
        var ends: [String: Int] = [:]
        for number in 0..<Effort.count(sample: 2000, slow: 100_000) {
            let text = mutator.damaged(bases[number % bases.count])
            do throws(ManifestError) {
                _ = try reader.read(text)
                ends["read", default: 0] += 1
            } catch {
                if error.errorDescription?.isEmpty != false || error.recoverySuggestion?.isEmpty != false {
                    Issue.record("no words for \(error), seed \(seed), number \(number)")
                }
                ends[error.reason.rawValue, default: 0] += 1
            }
        }
        print("manifests: \(ends)")
        // The damage reaches every layer: text, version, schema, and what fields say of each other.
        for kind in ["read", "notJSON", "version", "form", "contradiction"] {
            #expect(ends[kind, default: 0] > 0, "\(kind), seed \(seed)")
        }
    }

    @Test func damagedTokenizersAreReadOrRefused() throws {
        let seed = Effort.seed(of: "tokenizers")
        let tokens = ["a", "b", "a</w>", "b</w>", "ab", "ab</w>", "aab</w>", "<|startoftext|>", "<|endoftext|>"]
        let members = tokens.enumerated().map { "\"\($1)\": \($0)" }
        let vocabulary = Array("{\(members.joined(separator: ", "))}".utf8)
        let merges = Array("#version: 0.2\na b\na b</w>\na ab</w>\n".utf8)
        var mutator = Mutator(seed: seed)
        var ends: [Bool: Int] = [:]
        for number in 0..<Effort.count(sample: 2000, slow: 100_000) {
            let isMerges = number % 2 == 0
            do throws(TokenizerError) {
                let tokenizer = try CLIPTokenizer(
                    vocabulary: isMerges ? vocabulary : mutator.damaged(vocabulary),
                    merges: isMerges ? mutator.damaged(merges) : merges)
                let ids = try tokenizer.encode("aab b snow", truncate: true).ids
                if !ids.allSatisfy({ (0..<Int32(tokenizer.vocabularySize)).contains($0) }) {
                    Issue.record("an id beyond the vocabulary, seed \(seed), number \(number)")
                }
                ends[true, default: 0] += 1
            } catch {
                if error.recoverySuggestion?.isEmpty != false { Issue.record("no words for \(error), seed \(seed)") }
                ends[false, default: 0] += 1
            }
        }
        #expect(ends[true, default: 0] > 0 && ends[false, default: 0] > 0, "seed \(seed)")
    }
}
