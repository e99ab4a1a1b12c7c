/// Times of a recording's frames: the first one is its start, and times grow.
struct RecordingTimeline: Sendable, Equatable {
    /// Time of the first frame in the source's nanoseconds; nil before it.
    private(set) var start: Int64?
    /// Time of the last frame from the start in nanoseconds.
    private(set) var last: Int64 = 0
    /// Frames taken.
    private(set) var frames = 0
    /// Frames left out, because their time did not grow or the file was not ready for them.
    private(set) var dropped = 0
    private var previousGap: Int64 = 0

    /// Time from the start of a frame taken at `nanoseconds` of the source's clock; nil where it does not come after
    /// the last one.
    func place(_ nanoseconds: Int64) -> Int64? {
        guard let start else { return 0 }
        let (place, overflow) = nanoseconds.subtractingReportingOverflow(start)
        return overflow || place <= last ? nil : place
    }

    /// The frame at `nanoseconds` of the source's clock was written.
    mutating func take(_ nanoseconds: Int64) {
        guard let place = place(nanoseconds) else { return }
        if start == nil { start = nanoseconds }
        previousGap = place - last
        last = place
        frames += 1
    }

    /// A frame was left out.
    mutating func drop() {
        dropped += 1
    }

    /// When the recording ends: the last frame is shown as long as the one before it; a single one for `single`.
    func end(single: Int64) -> Int64 {
        last + (previousGap > 0 ? previousGap : single)
    }
}
