#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobieCore
    import MobiePixels

    /// A component's input or output: numbers that nobody writes to any more.
    ///
    /// Half-precision tensors lie in shared memory (IOSurface), so that the next component takes them without a copy.
    // Sound although MLMultiArray is not Sendable: a tensor is made when its numbers are written, nothing here writes to
    // it afterwards, and reading locks the memory for reading alone or looks at memory that never changes.
    public struct CoreMLTensor: @unchecked Sendable {
        let array: MLMultiArray

        /// A tensor of numbers that are written.
        init(filled array: MLMultiArray) {
            self.array = array
        }

        /// Sizes of the axes.
        public var shape: [Int] { array.shape.map(\.intValue) }

        /// Whether the numbers lie in memory that compute units share.
        public var isShared: Bool { array.pixelBuffer != nil }

        /// The numbers in row-major order.
        ///
        /// - Throws: `ModelFailure` where they cannot be read.
        func values() throws -> [Float] {
            let read: [Float]?
            if let buffer = array.pixelBuffer {
                read = try buffer.reading { rows, bytesPerRow in
                    NumberLayout.halves(shape: shape, bytesPerRow: bytesPerRow).read(rows)
                }
            } else {
                guard let elementType = array.dataType.elementType else { throw Self.unreadable }
                let layout = NumberLayout(
                    shape: shape, strides: array.strides.map(\.intValue), elementType: elementType)
                read = array.withUnsafeBytes { layout.read($0) }
            }
            guard let read else { throw Self.unreadable }
            return read
        }

        private static var unreadable: ModelFailure {
            ModelFailure(.inference, "Core ML gave numbers in a form that cannot be read.")
        }
    }

    extension MLMultiArrayDataType {
        fileprivate var elementType: TensorInfo.ElementType? {
            switch self {
            case .float16: .float16
            case .float32: .float32
            case .int32: .int32
            default: nil
            }
        }
    }

    extension MLMultiArray {
        /// An array of numbers for inputs that are set once per prompt.
        ///
        /// - Throws: `ModelFailure` for images and numbers of another count, and what Core ML throws.
        static func of(_ values: [Float], shape: [Int], _ elementType: TensorInfo.ElementType) throws -> MLMultiArray {
            let type: MLMultiArrayDataType
            switch elementType {
            case .float16: type = .float16
            case .float32: type = .float32
            case .int32: type = .int32
            case .image: throw ModelFailure(.inference, "Numbers were given where a component takes a frame.")
            }
            let array = try MLMultiArray(shape: shape.map { NSNumber(value: $0) }, dataType: type)
            let isWritten = array.withUnsafeMutableBytes { memory, strides in
                NumberLayout(shape: shape, strides: strides, elementType: elementType).write(values, to: memory)
            }
            guard isWritten else {
                throw ModelFailure(.inference, "\(values.count) numbers were given for the shape \(shape).")
            }
            return array
        }
    }
#endif
