import Testing

@testable import MobieCore

struct GeometryTests {
    private struct Golden: Decodable {
        struct Plan: Decodable {
            let source: [Int]
            let model: [Int]
            let fit: FrameFit
            let crop: [Int]
            let region: [Int]
            let point: [[Int]]
            let toSource: [[Int]]
            let toModel: [[Int]]
        }

        struct Orientation: Decodable {
            let matrix: [Int32]
            let shown: [[UInt8]]
        }

        struct Frame: Decodable {
            let source: [Int]
            let model: [Int]
            let fit: FrameFit
            let seed: UInt32
            let prepared: String
            let restored: String
            let region: String
        }

        let plans: [Plan]
        let orientations: [Orientation]
        let frames: [Frame]
    }

    private let golden: Golden

    init() throws {
        golden = try Vectors.decode("geometry.json")
    }

    private func makePlan(_ source: [Int], _ model: [Int], _ fit: FrameFit) throws -> FrameGeometry {
        try FrameGeometry(
            source: FrameSize(width: source[0], height: source[1]), model: FrameSize(width: model[0], height: model[1]),
            fit: fit)
    }

    @Test func rectanglesAndMappingsAreThoseOfPython() throws {
        for one in golden.plans {
            let plan = try makePlan(one.source, one.model, one.fit)
            let (crop, region) = (plan.crop, plan.region)
            #expect([crop.x, crop.y, crop.width, crop.height] == one.crop)
            #expect([region.x, region.y, region.width, region.height] == one.region)
            let point = (x: Fraction(one.point[0][0], one.point[0][1]), y: Fraction(one.point[1][0], one.point[1][1]))
            let (source, model) = (plan.toSource(point), plan.toModel(point))
            #expect([source.x, source.y].map { [$0.numerator, $0.denominator] } == one.toSource)
            #expect([model.x, model.y].map { [$0.numerator, $0.denominator] } == one.toModel)
            #expect(plan.toModel(source) == point)
        }
    }

    @Test func displayMatricesTurnFramesAsInPython() throws {
        let frame = try #require(InterleavedImage(width: 3, height: 2, channels: 1, bytes: [0, 1, 2, 3, 4, 5]))
        for one in golden.orientations {
            let matrix = (a: one.matrix[0], b: one.matrix[1], c: one.matrix[2], d: one.matrix[3])
            let shown = FrameOrientation(displayMatrix: matrix).apply(to: frame)
            #expect(shown.bytes == one.shown.flatMap { $0 })
            #expect((shown.width, shown.height) == (one.shown[0].count, one.shown.count))
        }
    }

    @Test func quarterTurnsAndMirroring() throws {
        let frame = try #require(InterleavedImage(width: 3, height: 2, channels: 1, bytes: [0, 1, 2, 3, 4, 5]))
        let turned: [(Int, Bool, [UInt8])] = [
            (0, false, [0, 1, 2, 3, 4, 5]), (1, false, [3, 0, 4, 1, 5, 2]), (2, false, [5, 4, 3, 2, 1, 0]),
            (3, false, [2, 5, 1, 4, 0, 3]), (-1, false, [2, 5, 1, 4, 0, 3]), (0, true, [2, 1, 0, 5, 4, 3]),
            (1, true, [0, 3, 1, 4, 2, 5]), (2, true, [3, 4, 5, 0, 1, 2]), (3, true, [5, 2, 4, 1, 3, 0]),
        ]
        for (turns, isMirrored, bytes) in turned {
            let orientation = FrameOrientation(quarterTurnsClockwise: turns, isMirrored: isMirrored)
            #expect(orientation.apply(to: frame).bytes == bytes, "\(turns) turns, mirrored: \(isMirrored)")
        }
    }

    /// Bytes of Philox words, as scripts/vectors/geometry.py makes them.
    private func noiseFrame(_ size: [Int], seed: UInt32) throws -> InterleavedImage {
        let count = size[0] * size[1] * 3
        var bytes: [UInt8] = []
        var block: UInt32 = 0
        while bytes.count < count {
            let words = DeterministicNoise.philox(key: (seed, 0), counter: (block, 0, 0, 0))
            for word in [words.0, words.1, words.2, words.3] {
                for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
            }
            block += 1
        }
        return try #require(
            InterleavedImage(width: size[0], height: size[1], channels: 3, bytes: Array(bytes.prefix(count))))
    }

    @Test func framesHaveThePixelsOfPython() throws {
        for one in golden.frames {
            let plan = try makePlan(one.source, one.model, one.fit)
            let prepared = try plan.prepare(try noiseFrame(one.source, seed: one.seed))
            let label: Comment = "\(one.source) to \(one.model), \(one.fit.rawValue)"
            #expect(SHA256.hex(of: prepared.bytes) == one.prepared, label)
            #expect(SHA256.hex(of: try plan.restore(prepared).bytes) == one.region, label)
            #expect(SHA256.hex(of: try plan.restore(prepared, atSourceScale: true).bytes) == one.restored, label)
        }
    }

    @Test func sizesThatCannotBeAreRefused() throws {
        for size in [[0, 5], [5, -1], [FrameGeometry.maximumSide + 1, 5]] {
            #expect(throws: GeometryError.self) { try makePlan(size, [256, 192], .cover) }
            #expect(throws: GeometryError.self) { try makePlan([256, 192], size, .contain) }
        }
        let plan = try makePlan([8, 8], [16, 16], .cover)
        let other = try noiseFrame([4, 8], seed: 0)
        #expect { try plan.prepare(other) } throws: {
            ($0 as? GeometryError)?.recoverySuggestion == "Give frames of that size, or plan again for these."
        }
        #expect(throws: GeometryError.self) { try plan.restore(other) }
        #expect(InterleavedImage(width: 2, height: 2, channels: 3, bytes: [0]) == nil)
    }

    @Test func fractionsAreInLowestTerms() {
        #expect(Fraction(6, -4) == Fraction(-3, 2))
        #expect(Fraction(0, 7) == Fraction(0))
        #expect(Fraction(1, 3) < Fraction(1, 2))
        #expect((Fraction(1, 2) + 1).value == 1.5)
    }
}
