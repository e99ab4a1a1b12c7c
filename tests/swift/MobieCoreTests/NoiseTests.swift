import Testing

@testable import MobieCore

struct NoiseTests {
    private struct Golden: Decodable {
        struct Counter: Decodable {
            let counter: [UInt32]
            let key: [UInt32]
            let words: [UInt32]
        }

        struct Stream: Decodable {
            let seed: String
            let stream: String
            let count: Int
            let first: [UInt16]
            let sha256: String
        }

        struct Close: Decodable {
            let seed: String
            let stream: String
            let block: UInt64
            let number: Int
            let bits: UInt16
        }

        enum Half: Decodable {
            case pair(double: String, bits: UInt16)

            init(from decoder: Decoder) throws {
                var items = try decoder.unkeyedContainer()
                self = .pair(double: try items.decode(String.self), bits: try items.decode(UInt16.self))
            }
        }

        let philox: [Counter]
        let streams: [Stream]
        let close: [Close]
        let halves: [Half]
    }

    private let golden: Golden

    init() throws {
        golden = try Vectors.decode("noise.json")
    }

    @Test func philoxGivesTheKnownWords() {
        for one in golden.philox {
            let made = DeterministicNoise.philox(
                key: (one.key[0], one.key[1]),
                counter: (one.counter[0], one.counter[1], one.counter[2], one.counter[3]))
            #expect([made.0, made.1, made.2, made.3] == one.words)
        }
        // Random123's own known answer for zeros.
        let zero = DeterministicNoise.philox(key: (0, 0), counter: (0, 0, 0, 0))
        #expect(zero == (0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8))
    }

    @Test func streamsHaveTheBitsOfPython() throws {
        for one in golden.streams {
            let (seed, stream) = (try #require(UInt64(one.seed)), try #require(UInt64(one.stream)))
            let bits = DeterministicNoise.standardNormal(seed: seed, stream: stream, count: one.count)
            #expect(bits.count == one.count)
            #expect(Array(bits.prefix(16)) == one.first)
            let bytes = bits.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
            #expect(SHA256.hex(of: bytes) == one.sha256, "seed \(seed), stream \(stream)")
        }
    }

    @Test func numbersNextToAMiddleAreRoundedAsInPython() throws {
        for one in golden.close {
            let (seed, stream) = (try #require(UInt64(one.seed)), try #require(UInt64(one.stream)))
            let number = DeterministicNoise.normals(seed: seed, stream: stream, block: one.block)[one.number]
            #expect(HalfPrecision.bits(of: number) == one.bits, "block \(one.block)")
        }
    }

    @Test func halvesAreRoundedToNearestTiesToEven() throws {
        for case .pair(let double, let bits) in golden.halves {
            let value = Double(bitPattern: try #require(UInt64(double, radix: 16)))
            #expect(HalfPrecision.bits(of: value) == bits, "\(value)")
        }
        #expect(HalfPrecision.bits(of: .nan) & 0x7FFF > 0x7C00)
    }

    @Test func everyHalfComesBack() {
        for bits in UInt16.min...UInt16.max where bits & 0x7C00 != 0x7C00 || bits & 0x3FF == 0 {
            let value = HalfPrecision.value(of: bits)
            if HalfPrecision.bits(of: Double(value)) != bits {
                Issue.record("\(bits) became \(value)")
            }
        }
        #expect(HalfPrecision.value(of: 0x7E00).isNaN)
        #expect(HalfPrecision.value(of: 0x3555) == 0.33325195)
    }

    @Test func noNumbersAreAskedFor() {
        #expect(DeterministicNoise.standardNormal(seed: 1, stream: 2, count: 0).isEmpty)
    }
}
