/// What a frame looks like, in a few bytes: the mean brightness of 8 x 8 blocks.
public struct FrameSignature: Sendable, Equatable {
    /// Blocks along each side.
    public static let side = 8
    private static let samplesAlongBlock = 16

    /// Means from 0 to 255, row by row.
    public let means: [UInt8]

    /// The signature of an 8-bit BGRA frame (the fourth channel is not looked at).
    ///
    /// At most 16 x 16 pixels of a block are read. Brightness is (77 R + 150 G + 29 B) / 256, Rec. 601 in integers.
    ///
    /// - Parameters:
    ///   - bgra: Rows of `bytesPerRow` bytes.
    ///   - width: Pixels, at least 1.
    ///   - height: Pixels, at least 1.
    ///   - bytesPerRow: At least four times the width.
    /// - Returns: nil where the bytes are fewer than the sizes say.
    public init?(bgra: UnsafeRawBufferPointer, width: Int, height: Int, bytesPerRow: Int) {
        guard width > 0, height > 0, bytesPerRow >= 4 * width, bgra.count >= (height - 1) * bytesPerRow + 4 * width
        else { return nil }
        var means: [UInt8] = []
        for row in 0..<Self.side {
            let rows = Self.samples(block: row, of: height)
            for column in 0..<Self.side {
                var (sum, count) = (0, 0)
                for y in rows {
                    for x in Self.samples(block: column, of: width) {
                        let at = y * bytesPerRow + 4 * x
                        sum += (29 * Int(bgra[at]) + 150 * Int(bgra[at + 1]) + 77 * Int(bgra[at + 2])) >> 8
                        count += 1
                    }
                }
                means.append(UInt8(sum / count))
            }
        }
        self.means = means
    }

    /// The signature of a BGRA image; nil where it has not four channels.
    public init?(_ image: InterleavedImage) {
        guard image.channels == 4 else { return nil }
        let made = image.bytes.withUnsafeBytes { bytes in
            FrameSignature(bgra: bytes, width: image.width, height: image.height, bytesPerRow: image.width * 4)
        }
        guard let made else { return nil }
        self = made
    }

    /// The largest difference of a block's means, 0 to 255.
    public func difference(to other: FrameSignature) -> Int {
        zip(means, other.means).map { abs(Int($0) - Int($1)) }.max() ?? 0
    }

    /// Positions of a block that are read; never none.
    private static func samples(block: Int, of length: Int) -> StrideTo<Int> {
        let first = min(block * length / side, length - 1)
        let end = max((block + 1) * length / side, first + 1)
        return stride(from: first, to: end, by: (end - first - 1) / samplesAlongBlock + 1)
    }
}
