#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobieCore
    import MobiePixels

    /// Shared memory for half-precision tensors of one shape, used again once nobody holds it.
    struct TensorPool: Sendable {
        let shape: [Int]
        private let pool: PixelBufferPool

        /// A pool. A buffer is as wide as the last axis, and as high as all others together.
        ///
        /// - Throws: `PixelError` where the system refuses, `ModelFailure` for a shape without numbers.
        init(shape: [Int]) throws {
            guard let width = shape.last, shape.allSatisfy({ $0 > 0 }) else {
                throw ModelFailure(.unsupported, "A tensor of shape \(shape) has no numbers.")
            }
            self.shape = shape
            pool = try PixelBufferPool(halves: width, height: shape.dropLast().reduce(1, *))
        }

        /// An array that nobody else has, with whatever numbers were in it.
        func array() throws -> MLMultiArray {
            MLMultiArray(pixelBuffer: try pool.make(), shape: shape.map { NSNumber(value: $0) })
        }

        /// A tensor of numbers in row-major order, rounded to half precision.
        ///
        /// - Throws: `PixelError`, or `ModelFailure` where their number is another.
        func tensor(of values: [Float]) throws -> CoreMLTensor {
            let buffer = try pool.make()
            let isWritten = try buffer.writing { rows, bytesPerRow in
                NumberLayout.halves(shape: shape, bytesPerRow: bytesPerRow).write(values, to: rows)
            }
            guard isWritten else {
                throw ModelFailure(.inference, "\(values.count) numbers were given for the shape \(shape).")
            }
            return CoreMLTensor(
                filled: MLMultiArray(pixelBuffer: buffer, shape: shape.map { NSNumber(value: $0) }))
        }
    }
#endif
