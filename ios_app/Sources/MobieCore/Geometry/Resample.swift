/// Resizing of 8-bit frames in integers only, the same pixels as `mobie edit`.
///
/// One axis of `length` pixels becomes `size` pixels. The filter is the triangle, as wide as one pixel of the coarser
/// grid. In units of 1 / (2 size) source pixels the centre of output pixel i lies at c = (2i + 1) length, that of source
/// pixel j at (2j + 1) size, and j weighs w = max(0, 2 max(size, length) - |(2j + 1) size - c|). With W(j) the sum of
/// the weights up to and including j and W their sum, the fixed-point weight of j is R(W(j)) - R(W(j - 1)), where
/// R(v) = (2 v 2^14 + W) / (2 W): never negative, and 2^14 in all. Rows come first, r = (sum + 2^5) >> 6, then columns,
/// p = (sum + 2^21) >> 22; every sum fits 32 bits.
extension InterleavedImage {
    /// The image at another size; both sides at least 1.
    func resized(width newWidth: Int, height newHeight: Int) -> InterleavedImage {
        if (newWidth, newHeight) == (width, height) { return self }
        let rows = resampledRows(AxisWeights(length: height, size: newHeight))
        return InterleavedImage(
            checked: newWidth, newHeight, channels,
            resampledColumns(rows, height: newHeight, AxisWeights(length: width, size: newWidth)))
    }

    /// (new height, width, channels) with 8 bits and 8 fractional bits.
    private func resampledRows(_ axis: AxisWeights) -> [UInt16] {
        let count = width * channels
        return [UInt16](unsafeUninitializedCapacity: axis.size * count) { made, initialized in
            bytes.withUnsafeBufferPointer { source in
                for row in 0..<axis.size {
                    for place in 0..<count {
                        var sum: Int32 = 1 << 5
                        for (tap, weight) in axis.taps(of: row) {
                            sum += weight * Int32(source[tap * count + place])
                        }
                        made[row * count + place] = UInt16(truncatingIfNeeded: sum >> 6)
                    }
                }
            }
            initialized = axis.size * count
        }
    }

    private func resampledColumns(_ rows: [UInt16], height: Int, _ axis: AxisWeights) -> [UInt8] {
        let count = axis.size * channels
        return [UInt8](unsafeUninitializedCapacity: height * count) { made, initialized in
            rows.withUnsafeBufferPointer { source in
                for row in 0..<height {
                    for column in 0..<axis.size {
                        for channel in 0..<channels {
                            var sum: Int32 = 1 << 21
                            for (tap, weight) in axis.taps(of: column) {
                                sum += weight * Int32(source[(row * width + tap) * channels + channel])
                            }
                            made[row * count + column * channels + channel] = UInt8(truncatingIfNeeded: sum >> 22)
                        }
                    }
                }
            }
            initialized = height * count
        }
    }
}

/// Source positions and fixed-point weights of one axis.
struct AxisWeights {
    private static let bits = 14

    let size: Int
    private var taps: [(position: Int, weight: Int32)] = []
    private var starts: [Int] = [0]

    /// Weights from `length` pixels to `size` pixels.
    init(length: Int, size: Int) {
        self.size = size
        let reach = 2 * max(size, length)
        for index in 0..<size {
            let centre = (2 * index + 1) * length
            let first = max(0, (centre - reach) / (2 * size) - 1)
            let last = min(length - 1, (centre + reach) / (2 * size) + 1)
            let weights = (first...last).map { max(0, reach - abs((2 * $0 + 1) * size - centre)) }
            let total = weights.reduce(0, +)
            var (sum, before) = (0, 0)
            for (position, weight) in zip(first...last, weights) where weight > 0 {
                sum += weight
                let after = (2 * (sum << Self.bits) + total) / (2 * total)
                taps.append((position, Int32(after - before)))
                before = after
            }
            starts.append(taps.count)
        }
    }

    /// Positions and weights of an output pixel; the weights add up to 2^14.
    func taps(of index: Int) -> ArraySlice<(position: Int, weight: Int32)> {
        taps[starts[index]..<starts[index + 1]]
    }
}
