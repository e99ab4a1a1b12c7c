/// Damages texts: bytes flipped, cut, doubled and moved, and values of JSON replaced by hostile ones.
struct Mutator {
    private static let hostile: [[UInt8]] =
        [
            "null", "true", "{}", "[]", "\"\"", "-1", "0", "-0", "0.5", "1e308", "-1e308", "1e999",
            "9223372036854775807", "9223372036854775808", "18446744073709551616",
            "123456789012345678901234567890",
            "\"../../etc/passwd\"", "\"/absolute\"", "\"a\\u0000b\"", "\"\\ud800\"", "\"\u{202E}\"", "NaN",
            "[[[[[[[[1]]]]]]]]",
        ].map { Array($0.utf8) } + [
            [UInt8](repeating: UInt8(ascii: "["), count: 600),
            Array("\"".utf8) + [UInt8](repeating: UInt8(ascii: "a"), count: 70_000) + Array("\"".utf8),
            [0x22, 0xFF, 0xC0, 0x22],
        ]

    private var source: SplitMix

    init(seed: UInt64) {
        source = SplitMix(state: seed)
    }

    /// The text with one damage, or sometimes with up to four.
    mutating func damaged(_ text: [UInt8]) -> [UInt8] {
        var text = text
        for _ in 0...(below(3) == 0 ? below(4) : 0) { damage(&text) }
        return text
    }

    private mutating func below(_ bound: Int) -> Int {
        Int(source.next() % UInt64(max(1, bound)))
    }

    private mutating func damage(_ text: inout [UInt8]) {
        guard !text.isEmpty else { return }
        let place = below(text.count)
        let end = min(text.count, place + 1 + below(40))
        switch below(14) {
        case 0: text[place] ^= 1 << UInt8(below(8))
        case 1: text[place] = UInt8(truncatingIfNeeded: source.next())
        case 2: text.removeSubrange(place..<end)
        case 3: text.insert(contentsOf: text[place..<end], at: below(text.count))
        case 4: text.removeLast(below(text.count) / (1 + below(50)))
        case 5: text.insert(contentsOf: Self.hostile[below(Self.hostile.count)], at: place)
        default: replaceValue(&text, after: place)
        }
    }

    /// Puts a hostile value in the place of a member's: the text often stays JSON.
    private mutating func replaceValue(_ text: inout [UInt8], after place: Int) {
        guard let colon = text[place...].firstIndex(of: UInt8(ascii: ":")) else { return }
        let ends: Set<UInt8> = [UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")]
        let end = text[(colon + 1)...].firstIndex { ends.contains($0) } ?? text.endIndex
        text.replaceSubrange(colon + 1..<end, with: Self.hostile[below(Self.hostile.count)])
    }
}
