import Testing

@testable import MobieCore

/// Examples of FIPS 180-4 and lengths around the block's.
struct SHA256Tests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ])
    func knownDigests(text: String, digest: String) {
        #expect(SHA256.hex(of: text.utf8) == digest)
    }

    @Test func aHundredThousandBytes() {
        let bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 100_000)
        #expect(SHA256.hex(of: bytes) == "6d1cf22d7cc09b085dfc25ee1a1f3ae0265804c607bc2074ad253bcc82fd81ee")
    }

    @Test func piecesOfAnySizeGiveOneDigest() {
        let bytes = (0..<500).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let whole = SHA256.hex(of: bytes)
        for size in [1, 3, 55, 56, 63, 64, 65, 127, 128, 200] {
            var digest = SHA256()
            for start in stride(from: 0, to: bytes.count, by: size) {
                digest.update(Array(bytes[start..<min(start + size, bytes.count)]))
                // Looking at a digest does not end it.
                _ = digest.hex()
            }
            #expect(digest.hex() == whole, "pieces of \(size)")
        }
    }
}
