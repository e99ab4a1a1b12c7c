/// An 8-bit image, row by row, the channels of a pixel side by side: (height, width, channels).
public struct InterleavedImage: Sendable, Equatable {
    /// Pixels in a row.
    public let width: Int
    /// Rows.
    public let height: Int
    /// 3 for RGB, 4 for BGRA.
    public let channels: Int
    /// `height * width * channels` of them.
    public let bytes: [UInt8]

    /// An image of bytes; nil where their number is not `height * width * channels`, or a size is not positive.
    public init?(width: Int, height: Int, channels: Int, bytes: [UInt8]) {
        guard width > 0, height > 0, channels > 0, bytes.count == width * height * channels else { return nil }
        self.init(checked: width, height, channels, bytes)
    }

    init(checked width: Int, _ height: Int, _ channels: Int, _ bytes: [UInt8]) {
        (self.width, self.height, self.channels, self.bytes) = (width, height, channels, bytes)
    }

    /// The part inside a rectangle, which must lie inside the image.
    func cropped(to part: PixelRectangle) -> InterleavedImage {
        if part.width == width && part.height == height { return self }
        var kept: [UInt8] = []
        kept.reserveCapacity(part.width * part.height * channels)
        for row in part.y..<part.y + part.height {
            let start = (row * width + part.x) * channels
            kept.append(contentsOf: bytes[start..<start + part.width * channels])
        }
        return InterleavedImage(checked: part.width, part.height, channels, kept)
    }

    /// A larger image with this one at (x, y) and the nearest pixel of its edge everywhere else.
    func padded(width newWidth: Int, height newHeight: Int, x: Int, y: Int) -> InterleavedImage {
        if (newWidth, newHeight) == (width, height) { return self }
        var filled: [UInt8] = []
        filled.reserveCapacity(newWidth * newHeight * channels)
        for row in 0..<newHeight {
            let start = min(max(row - y, 0), height - 1) * width * channels
            let line = bytes[start..<start + width * channels]
            for _ in 0..<x { filled.append(contentsOf: line.prefix(channels)) }
            filled.append(contentsOf: line)
            for _ in 0..<newWidth - width - x { filled.append(contentsOf: line.suffix(channels)) }
        }
        return InterleavedImage(checked: newWidth, newHeight, channels, filled)
    }
}
