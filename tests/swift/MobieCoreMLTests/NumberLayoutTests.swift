import MobieCore
import Testing

@testable import MobieCoreML

struct NumberLayoutTests {
    @Test func rowsMayHavePadding() throws {
        let layout = NumberLayout.halves(shape: [1, 2, 2, 3], bytesPerRow: 16)
        #expect(layout.strides == [32, 16, 8, 1])
        #expect(layout.extent == 27)
        var memory = [UInt16](repeating: 0xFFFF, count: 32)
        let values = (0..<12).map(Float.init)
        #expect(memory.withUnsafeMutableBytes { layout.write(values, to: $0) })
        #expect(memory[8..<11].elementsEqual([3, 4, 5].map { HalfPrecision.bits(of: $0) }))
        // The padding was not touched.
        #expect(memory[3..<8].allSatisfy { $0 == 0xFFFF })
        #expect(memory.withUnsafeBytes { layout.read($0) } == values)
    }

    @Test func memoryThatIsTooSmallIsNotTouched() {
        let layout = NumberLayout(shape: [2, 2], strides: [4, 1], elementType: .float32)
        var memory = [Float](repeating: 7, count: 5)
        #expect(memory.withUnsafeBytes { layout.read($0) } == nil)
        #expect(!memory.withUnsafeMutableBytes { layout.write([1, 2, 3, 4], to: $0) })
        #expect(memory == [7, 7, 7, 7, 7])
        var enough = [Float](repeating: 7, count: 6)
        #expect(!enough.withUnsafeMutableBytes { layout.write([1, 2, 3], to: $0) })
        #expect(enough.withUnsafeMutableBytes { layout.write([1, 2, 3, 4], to: $0) })
        #expect(enough == [1, 2, 7, 7, 3, 4])
        let backwards = NumberLayout(shape: [2, 2], strides: [-4, 1], elementType: .float32)
        #expect(enough.withUnsafeBytes { backwards.read($0) } == nil)
        let image = NumberLayout(shape: [1], strides: [1], elementType: .image)
        #expect(enough.withUnsafeBytes { image.read($0) } == nil)
    }

    /// What is written with any strides is what is read.
    @Test(arguments: 0..<40)
    func numbersComeBack(seed: Int) {
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let shape = (0..<1 + next(4)).map { _ in 1 + next(5) }
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() {
            strides[axis] = strides[axis + 1] * shape[axis + 1] + next(3)
        }
        for type in [TensorInfo.ElementType.float16, .float32, .int32] {
            let layout = NumberLayout(shape: shape, strides: strides, elementType: type)
            let values = (0..<layout.count).map { _ in Float(next(2048) - 1024) }
            var memory = [UInt8](repeating: 0, count: layout.extent * (type == .float16 ? 2 : 4))
            #expect(memory.withUnsafeMutableBytes { layout.write(values, to: $0) })
            #expect(memory.withUnsafeBytes { layout.read($0) } == values, "seed \(seed)")
        }
    }
}
