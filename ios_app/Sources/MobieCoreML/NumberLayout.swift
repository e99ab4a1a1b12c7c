import MobieCore

/// Where the numbers of a tensor lie in memory whose rows may have padding.
struct NumberLayout: Sendable, Equatable {
    /// Sizes of the axes.
    let shape: [Int]
    /// Elements from one number to the next along each axis.
    let strides: [Int]
    /// Of the numbers.
    let elementType: TensorInfo.ElementType

    /// Half-precision numbers in rows of `bytesPerRow` bytes, a row along the last axis.
    ///
    /// - Precondition: `bytesPerRow` is even.
    static func halves(shape: [Int], bytesPerRow: Int) -> NumberLayout {
        precondition(bytesPerRow % 2 == 0, "Half-precision numbers take two bytes.")
        var strides = [Int](repeating: 1, count: shape.count)
        var step = bytesPerRow / 2
        for axis in shape.indices.dropLast().reversed() {
            strides[axis] = step
            step *= shape[axis]
        }
        return NumberLayout(shape: shape, strides: strides, elementType: .float16)
    }

    /// How many numbers there are.
    var count: Int { shape.reduce(1, *) }

    /// Elements that the memory must have.
    var extent: Int {
        count == 0 ? 0 : zip(shape, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
    }

    /// The numbers in row-major order; nil where the memory is too small or the strides lead out of it.
    func read(_ memory: UnsafeRawBufferPointer) -> [Float]? {
        guard fits(memory.count) else { return nil }
        var values: [Float] = []
        values.reserveCapacity(count)
        switch elementType {
        case .float16:
            let numbers = memory.bindMemory(to: UInt16.self)
            forEach { values.append(HalfPrecision.value(of: numbers[$0])) }
        case .float32:
            let numbers = memory.bindMemory(to: Float.self)
            forEach { values.append(numbers[$0]) }
        case .int32:
            let numbers = memory.bindMemory(to: Int32.self)
            forEach { values.append(Float(numbers[$0])) }
        case .image: return nil
        }
        return values
    }

    /// Writes numbers in row-major order, rounded to the type of the memory.
    ///
    /// - Returns: False where the memory is too small, their number another, or the type an image.
    func write(_ values: [Float], to memory: UnsafeMutableRawBufferPointer) -> Bool {
        guard values.count == count, fits(memory.count) else { return false }
        var next = values.makeIterator()
        switch elementType {
        case .float16:
            let numbers = memory.bindMemory(to: UInt16.self)
            forEach { numbers[$0] = HalfPrecision.bits(of: Double(next.next() ?? 0)) }
        case .float32:
            let numbers = memory.bindMemory(to: Float.self)
            forEach { numbers[$0] = next.next() ?? 0 }
        case .int32:
            let numbers = memory.bindMemory(to: Int32.self)
            forEach { numbers[$0] = Int32(next.next() ?? 0) }
        case .image: return false
        }
        return true
    }

    private func fits(_ bytes: Int) -> Bool {
        let size = elementType == .float16 ? 2 : 4
        return shape.count == strides.count && strides.allSatisfy { $0 >= 0 } && extent * size <= bytes
    }

    /// Calls `body` with the place of every number, the last axis fastest.
    private func forEach(_ body: (Int) -> Void) {
        guard count > 0 else { return }
        var index = [Int](repeating: 0, count: shape.count)
        var place = 0
        for _ in 0..<count {
            body(place)
            for axis in shape.indices.reversed() {
                index[axis] += 1
                place += strides[axis]
                if index[axis] < shape[axis] { break }
                place -= shape[axis] * strides[axis]
                index[axis] = 0
            }
        }
    }
}
