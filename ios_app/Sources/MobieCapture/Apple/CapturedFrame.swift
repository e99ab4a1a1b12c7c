#if canImport(AVFoundation)
    import CoreMedia
    import MobieCore
    import MobiePixels

    /// A frame of a camera or clip.
    public struct CapturedFrame: Sendable {
        /// 8-bit BGRA, as stored.
        public let frame: PixelFrame
        /// When it was taken: of the camera's clock, or from the clip's beginning.
        public let nanoseconds: Int64
        /// What makes it upright; cameras that turn frames themselves need nothing.
        public let orientation: FrameOrientation

        /// The frame in a sample buffer; nil where it has none, no 8-bit BGRA or no time.
        init?(_ sample: CMSampleBuffer, orientation: FrameOrientation) {
            guard let buffer = CMSampleBufferGetImageBuffer(sample), let frame = try? PixelFrame(filled: buffer),
                let nanoseconds = CMSampleBufferGetPresentationTimeStamp(sample).nanoseconds
            else { return nil }
            (self.frame, self.nanoseconds, self.orientation) = (frame, nanoseconds, orientation)
        }
    }

    extension CMTime {
        private static let billion: Int32 = 1_000_000_000

        /// The time in nanoseconds; nil where it is no time.
        var nanoseconds: Int64? {
            guard isNumeric else { return nil }
            return CMTimeConvertScale(self, timescale: Self.billion, method: .roundHalfAwayFromZero).value
        }

        /// A time of nanoseconds.
        init(nanoseconds: Int64) {
            self.init(value: nanoseconds, timescale: Self.billion)
        }
    }
#endif
