/// Frame rates that a camera's format can keep, in frames a second.
struct FrameRateRange: Sendable, Equatable {
    let minimum: Double
    let maximum: Double
}

/// A frame rate within one of several ranges.
struct FrameRateChoice: Sendable, Equatable {
    enum End: Sendable {
        case minimum, maximum
    }

    let rate: Double
    /// Which range.
    let range: Int
    /// The end of the range that it is at; nil inside.
    let end: End?
}

extension [FrameRateRange] {
    /// The rate nearest to the wanted one that a range allows; nil where there is none, or the rate is no number.
    ///
    /// Of equally near ones the higher is taken: frames can be left out, but not made.
    func nearest(to wanted: Double) -> FrameRateChoice? {
        guard wanted.isFinite else { return nil }
        let choices = enumerated().filter { $1.minimum <= $1.maximum }.map { index, range in
            let rate = Swift.min(Swift.max(wanted, range.minimum), range.maximum)
            let end: FrameRateChoice.End? = rate == range.maximum ? .maximum : rate == range.minimum ? .minimum : nil
            return FrameRateChoice(rate: rate, range: index, end: end)
        }
        return choices.filter { $0.rate > 0 }.min { left, right in
            (abs(left.rate - wanted), -left.rate) < (abs(right.rate - wanted), -right.rate)
        }
    }
}
