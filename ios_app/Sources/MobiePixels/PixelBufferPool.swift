#if canImport(CoreVideo)
    import CoreVideo
    import Foundation
    import MobieCore

    /// Buffers of one size and format in shared memory (IOSurface), used again once nobody holds them.
    // Sound although CVPixelBufferPool is not Sendable: it is used under the lock alone, and a buffer that it gives out
    // is its caller's.
    public final class PixelBufferPool: @unchecked Sendable {
        private let lock = NSLock()
        private let pool: CVPixelBufferPool
        private let limits: CFDictionary?

        /// A pool of 8-bit BGRA frames.
        ///
        /// - Parameters:
        ///   - size: Of the frames in pixels.
        ///   - limit: Buffers in use at once at most.
        /// - Throws: `PixelError.noBuffers` where the system refuses.
        public convenience init(frames size: FrameSize, limit: Int = 16) throws(PixelError) {
            try self.init(
                format: kCVPixelFormatType_32BGRA, width: size.width, height: size.height, limit: limit)
        }

        /// A pool of half-precision numbers, one to a pixel, as many as are kept.
        package convenience init(halves width: Int, height: Int) throws(PixelError) {
            try self.init(format: kCVPixelFormatType_OneComponent16Half, width: width, height: height, limit: nil)
        }

        private init(format: OSType, width: Int, height: Int, limit: Int?) throws(PixelError) {
            let attributes: [String: Any] = [
                kCVPixelBufferPixelFormatTypeKey as String: format,
                kCVPixelBufferWidthKey as String: width,
                kCVPixelBufferHeightKey as String: height,
                kCVPixelBufferIOSurfacePropertiesKey as String: [String: Any](),
                kCVPixelBufferMetalCompatibilityKey as String: true,
            ]
            var made: CVPixelBufferPool?
            let status = CVPixelBufferPoolCreate(nil, nil, attributes as CFDictionary, &made)
            guard status == kCVReturnSuccess, let made else { throw .noBuffers(status) }
            pool = made
            let limits = limit.map { [kCVPixelBufferPoolAllocationThresholdKey as String: $0] as [String: Any] }
            self.limits = limits.map { $0 as CFDictionary }
        }

        /// A buffer that nobody else has, with whatever numbers were in it.
        ///
        /// - Throws: `PixelError.noBuffers` where all are in use or memory is short.
        public func make() throws(PixelError) -> CVPixelBuffer {
            lock.lock()
            defer { lock.unlock() }
            var made: CVPixelBuffer?
            let status = CVPixelBufferPoolCreatePixelBufferWithAuxAttributes(nil, pool, limits, &made)
            guard status == kCVReturnSuccess, let made else { throw .noBuffers(status) }
            return made
        }

        /// A frame with the pixels of an image of four channels.
        ///
        /// - Throws: `PixelError`.
        public func frame(of image: InterleavedImage) throws -> PixelFrame {
            let buffer = try make()
            let size = (CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))
            guard (image.width, image.height) == size, image.channels == 4 else { throw PixelError.unreadable }
            try buffer.writing { rows, bytesPerRow in
                PixelRows(width: image.width, height: image.height, bytesPerRow: bytesPerRow).write(image, to: rows)
            }
            return try PixelFrame(filled: buffer)
        }
    }
#endif
