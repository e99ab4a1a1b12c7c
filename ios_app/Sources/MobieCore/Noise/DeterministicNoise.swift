import Foundation

/// Standard normal numbers from (seed, stream, index): the same half-precision bits as `mobie` in Python.
///
/// 1. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): key = seed, counter = block in
///    its low and stream in its high 64 bits, least significant word first.
/// 2. Block b gives words w0 to w3 and from them four numbers by Box and Muller (1958) in double precision:
///    r = sqrt(-2 ln((w0 + 1) 2^-32)), a = 2 pi w1 2^-32: r cos(a), r sin(a), and the same from w2, w3.
/// 3. Each is rounded to the nearest half-precision number. Number i of a tensor in row-major order is number i mod 4
///    of block i div 4.
///
/// The integers are exact everywhere. Mathematics libraries may differ in the last bit of a logarithm, sine or cosine;
/// that reaches the result only where the double lies within about 2^-50 of the middle between two half-precision
/// numbers, which about one number in 10^12 does. The golden values hold the numbers that come closest to a middle
/// among ten million.
public enum DeterministicNoise {
    /// The four words of a block.
    public typealias Words = (UInt32, UInt32, UInt32, UInt32)

    /// Philox4x32-10 of a counter under a key.
    public static func philox(key: (UInt32, UInt32), counter: Words) -> Words {
        var (c0, c1, c2, c3) = counter
        var (k0, k1) = key
        for _ in 0..<10 {
            let p = UInt64(0xD251_1F53) * UInt64(c0)
            let q = UInt64(0xCD9E_8D57) * UInt64(c2)
            (c0, c1, c2, c3) = (
                UInt32(q >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: q),
                UInt32(p >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: p)
            )
            k0 &+= 0x9E37_79B9
            k1 &+= 0xBB67_AE85
        }
        return (c0, c1, c2, c3)
    }

    /// Half-precision bits of the first `count` numbers of a stream.
    public static func standardNormal(seed: UInt64, stream: UInt64, count: Int) -> [UInt16] {
        var numbers: [UInt16] = []
        numbers.reserveCapacity(count + 3)
        var block: UInt64 = 0
        while numbers.count < count {
            for number in normals(seed: seed, stream: stream, block: block) {
                numbers.append(HalfPrecision.bits(of: number))
            }
            block += 1
        }
        numbers.removeLast(numbers.count - max(0, count))
        return numbers
    }

    /// The four numbers of a block before they are rounded.
    static func normals(seed: UInt64, stream: UInt64, block: UInt64) -> [Double] {
        let (w0, w1, w2, w3) = philox(
            key: (UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32)),
            counter: (
                UInt32(truncatingIfNeeded: block), UInt32(block >> 32),
                UInt32(truncatingIfNeeded: stream), UInt32(stream >> 32)
            ))
        let (first, second) = boxMuller(w0, w1)
        let (third, fourth) = boxMuller(w2, w3)
        return [first, second, third, fourth]
    }

    private static func boxMuller(_ u: UInt32, _ v: UInt32) -> (Double, Double) {
        let radius = (-2.0 * log((Double(u) + 1.0) * 0x1p-32)).squareRoot()
        let angle = (2.0 * Double.pi) * (Double(v) * 0x1p-32)
        return (radius * cos(angle), radius * sin(angle))
    }
}
