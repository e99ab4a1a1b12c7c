#if canImport(AVFoundation)
    import AVFoundation
    import Foundation
    import MobieCore

    /// Takes frames from a camera's queue and hands them on; keeps none.
    final class FrameOutput: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, Sendable {
        /// What comes from the queue.
        enum Delivery: Sendable {
            case frame(CapturedFrame)
            case drop(CaptureDrop)
        }

        private let deliver: @Sendable (Delivery) -> Void

        init(_ deliver: @escaping @Sendable (Delivery) -> Void) {
            self.deliver = deliver
        }

        func captureOutput(
            _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
        ) {
            // The connection turns frames; what it cannot turn is left to the reader.
            if let frame = CapturedFrame(sampleBuffer, orientation: FrameOrientation()) { deliver(.frame(frame)) }
        }

        func captureOutput(
            _ output: AVCaptureOutput, didDrop sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
        ) {
            let key = kCMSampleBufferAttachmentKey_DroppedFrameReason
            let reason = CMGetAttachment(sampleBuffer, key: key, attachmentModeOut: nil) as? String
            deliver(.drop(CaptureDrop(coreMedia: reason)))
        }
    }

    extension CaptureDrop {
        /// The reason that Core Media attaches to a dropped frame.
        init(coreMedia reason: String?) {
            let reasons: [String: CaptureDrop] = [
                kCMSampleBufferDroppedFrameReason_FrameWasLate as String: .late,
                kCMSampleBufferDroppedFrameReason_OutOfBuffers as String: .outOfBuffers,
                kCMSampleBufferDroppedFrameReason_Discontinuity as String: .discontinuity,
            ]
            self = reason.flatMap { reasons[$0] } ?? .unknown
        }
    }
#endif
