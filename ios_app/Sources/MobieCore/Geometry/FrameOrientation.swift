/// What makes a stored frame upright: first transpose it (swap rows and columns), then flip it.
public struct FrameOrientation: Sendable, Equatable, Hashable {
    /// Rows become columns, first of all.
    public let isTransposed: Bool
    /// Left and right change places.
    public let isFlippedX: Bool
    /// Top and bottom change places.
    public let isFlippedY: Bool

    /// The parts of an orientation; none of them is the upright one.
    public init(isTransposed: Bool = false, isFlippedX: Bool = false, isFlippedY: Bool = false) {
        (self.isTransposed, self.isFlippedX, self.isFlippedY) = (isTransposed, isFlippedX, isFlippedY)
    }

    /// The orientation in a display matrix (ISO 14496-12, 8.3.2), by which a stored point (p, q) is shown at
    /// (a p + c q, b p + d q). Angles between right angles go to the nearest one.
    public init(displayMatrix matrix: (a: Int32, b: Int32, c: Int32, d: Int32)) {
        let (a, b, c, d) = (Int(matrix.a), Int(matrix.b), Int(matrix.c), Int(matrix.d))
        if abs(b) + abs(c) > abs(a) + abs(d) {
            self.init(isTransposed: true, isFlippedX: c < 0, isFlippedY: b < 0)
        } else {
            self.init(isFlippedX: a < 0, isFlippedY: d < 0)
        }
    }

    /// The orientation of a frame that is to be turned clockwise by quarter turns, and mirrored left to right
    /// afterwards if asked: what a camera's rotation angle and mirroring say.
    public init(quarterTurnsClockwise quarterTurns: Int, isMirrored: Bool = false) {
        let turns = (quarterTurns % 4 + 4) % 4
        self.init(
            isTransposed: turns % 2 == 1, isFlippedX: (turns == 1 || turns == 2) != isMirrored,
            isFlippedY: turns == 2 || turns == 3)
    }

    /// Size of the upright frame of a stored one.
    public func size(of stored: FrameSize) -> FrameSize {
        isTransposed ? FrameSize(width: stored.height, height: stored.width) : stored
    }

    /// The upright frame of a stored one.
    public func apply(to stored: InterleavedImage) -> InterleavedImage {
        if self == FrameOrientation() { return stored }
        let upright = size(of: FrameSize(width: stored.width, height: stored.height))
        let channels = stored.channels
        var turned: [UInt8] = []
        turned.reserveCapacity(stored.bytes.count)
        for y in 0..<upright.height {
            let row = isFlippedY ? upright.height - 1 - y : y
            for x in 0..<upright.width {
                let column = isFlippedX ? upright.width - 1 - x : x
                let start = isTransposed ? column * stored.width + row : row * stored.width + column
                turned.append(contentsOf: stored.bytes[start * channels..<(start + 1) * channels])
            }
        }
        return InterleavedImage(checked: upright.width, upright.height, channels, turned)
    }
}
