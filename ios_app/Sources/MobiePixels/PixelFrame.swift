#if canImport(CoreVideo)
    import CoreVideo
    import MobieCore

    /// A frame in a pixel buffer, 8-bit BGRA, that nobody writes to any more.
    ///
    /// Cameras, readers, Core ML and recorders hand frames to each other in this form; pixels are not copied on the way.
    // Sound although CVPixelBuffer is not Sendable: a frame is made only from a buffer that has been filled, nothing
    // here writes to it or gives it out for writing, and Core Video's reference counts are atomic. Whoever makes a
    // frame with `init(filled:)` promises the first part; a camera and a pool keep it, because they use a buffer again
    // only after its last reference is gone.
    public struct PixelFrame: @unchecked Sendable {
        /// For reading alone: Core ML, a recorder or a layer may take it.
        public let buffer: CVPixelBuffer

        /// A frame of a buffer that has been filled.
        ///
        /// - Parameter buffer: Nobody may write to it from now on.
        /// - Throws: `PixelError.format` where the buffer is not 8-bit BGRA.
        public init(filled buffer: CVPixelBuffer) throws(PixelError) {
            let format = CVPixelBufferGetPixelFormatType(buffer)
            guard format == kCVPixelFormatType_32BGRA else { throw .format(format) }
            self.buffer = buffer
        }

        /// Size in pixels.
        public var size: FrameSize {
            FrameSize(width: CVPixelBufferGetWidth(buffer), height: CVPixelBufferGetHeight(buffer))
        }

        /// Calls `body` with the rows, each of `bytesPerRow` bytes, of which the first 4 x width count.
        ///
        /// - Throws: `PixelError.unreadable`, or what `body` throws.
        public func withRows<Result>(
            _ body: (_ rows: UnsafeRawBufferPointer, _ bytesPerRow: Int) throws -> Result
        ) throws -> Result {
            try buffer.reading(body)
        }

        /// What the frame looks like, for skipping similar ones; nil where it cannot be read.
        public var signature: FrameSignature? {
            let size = size
            return try? withRows { rows, bytesPerRow in
                FrameSignature(bgra: rows, width: size.width, height: size.height, bytesPerRow: bytesPerRow)
            }
        }

        /// A copy of the pixels without padding, four channels.
        ///
        /// - Throws: `PixelError.unreadable`.
        public func image() throws -> InterleavedImage {
            let size = size
            let image = try withRows { rows, bytesPerRow in
                PixelRows(width: size.width, height: size.height, bytesPerRow: bytesPerRow).image(from: rows)
            }
            guard let image else { throw PixelError.unreadable }
            return image
        }
    }

    extension CVPixelBuffer {
        /// Calls `body` with the bytes, which others may read at the same time.
        package func reading<Result>(
            _ body: (_ rows: UnsafeRawBufferPointer, _ bytesPerRow: Int) throws -> Result
        ) throws -> Result {
            guard CVPixelBufferLockBaseAddress(self, .readOnly) == kCVReturnSuccess else {
                throw PixelError.unreadable
            }
            defer { CVPixelBufferUnlockBaseAddress(self, .readOnly) }
            guard let start = CVPixelBufferGetBaseAddress(self) else { throw PixelError.unreadable }
            let bytesPerRow = CVPixelBufferGetBytesPerRow(self)
            let count = bytesPerRow * CVPixelBufferGetHeight(self)
            return try body(UnsafeRawBufferPointer(start: start, count: count), bytesPerRow)
        }

        /// Calls `body` with the bytes of a buffer that nobody else has yet.
        package func writing<Result>(
            _ body: (_ rows: UnsafeMutableRawBufferPointer, _ bytesPerRow: Int) throws -> Result
        ) throws -> Result {
            guard CVPixelBufferLockBaseAddress(self, []) == kCVReturnSuccess else { throw PixelError.unreadable }
            defer { CVPixelBufferUnlockBaseAddress(self, []) }
            guard let start = CVPixelBufferGetBaseAddress(self) else { throw PixelError.unreadable }
            let bytesPerRow = CVPixelBufferGetBytesPerRow(self)
            let count = bytesPerRow * CVPixelBufferGetHeight(self)
            return try body(UnsafeMutableRawBufferPointer(start: start, count: count), bytesPerRow)
        }
    }
#endif
