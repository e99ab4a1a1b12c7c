import MobieCore

/// Where the pixels of a BGRA frame lie in memory whose rows may have padding at their end.
package struct PixelRows: Sendable {
    private static let channels = 4

    package let width: Int
    package let height: Int
    /// At least 4 x width.
    package let bytesPerRow: Int

    package init(width: Int, height: Int, bytesPerRow: Int) {
        (self.width, self.height, self.bytesPerRow) = (width, height, bytesPerRow)
    }

    private var used: Int { width * Self.channels }

    /// The pixels without padding; nil where the bytes are too few.
    package func image(from rows: UnsafeRawBufferPointer) -> InterleavedImage? {
        guard height > 0, bytesPerRow >= used, rows.count >= (height - 1) * bytesPerRow + used else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(height * used)
        for row in 0..<height { bytes.append(contentsOf: rows[row * bytesPerRow..<row * bytesPerRow + used]) }
        return InterleavedImage(width: width, height: height, channels: Self.channels, bytes: bytes)
    }

    /// Writes the pixels of an image of this size; the padding stays as it is.
    ///
    /// - Precondition: The image has four channels, and the memory room for it.
    package func write(_ image: InterleavedImage, to rows: UnsafeMutableRawBufferPointer) {
        precondition(image.bytes.count == height * used && rows.count >= (height - 1) * bytesPerRow + used)
        image.bytes.withUnsafeBytes { source in
            for row in 0..<height {
                let target = UnsafeMutableRawBufferPointer(rebasing: rows[row * bytesPerRow..<row * bytesPerRow + used])
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[row * used..<(row + 1) * used]))
            }
        }
    }
}
