#if canImport(CoreVideo)
    import CoreVideo
    import MobieCore

    /// Makes frames of the model's size from frames of a camera or file, and frames of the source's crop from edited
    /// ones, with the same pixels as `mobie edit`. It works on the CPU: ask the camera for frames not much larger than
    /// the model's. A source whose size changes, because a device is turned, is planned for anew.
    public struct FrameFitter: Sendable {
        private struct Plan: Sendable {
            let stored: FrameSize
            let orientation: FrameOrientation
            let geometry: FrameGeometry
            let restored: PixelBufferPool
        }

        private let model: FrameSize
        private let fit: FrameFit
        private let prepared: PixelBufferPool
        private var plan: Plan?

        /// A fitter for a model's frames.
        ///
        /// - Throws: `PixelError`.
        public init(model: FrameSize, fit: FrameFit = .cover) throws(PixelError) {
            (self.model, self.fit) = (model, fit)
            prepared = try PixelBufferPool(frames: model)
        }

        /// How the last source frame was placed; nil before the first, and where it was taken as it is.
        public var geometry: FrameGeometry? { plan?.geometry }

        /// The model's frame of a stored one.
        ///
        /// - Parameters:
        ///   - frame: As it is stored.
        ///   - orientation: Makes it upright.
        /// - Throws: `GeometryError` for sizes that cannot be worked with, `PixelError`.
        public mutating func prepare(
            _ frame: PixelFrame, orientation: FrameOrientation = FrameOrientation()
        ) throws -> PixelFrame {
            if frame.size == model && orientation == FrameOrientation() {
                plan = nil
                return frame
            }
            let plan = try planned(frame.size, orientation)
            return try prepared.frame(of: plan.geometry.prepare(orientation.apply(to: try frame.image())))
        }

        /// The edited part at the scale of the last source frame, upright; the edited frame itself where there is no
        /// `geometry`.
        ///
        /// - Throws: `GeometryError` where the frame has not the model's size, `PixelError`.
        public func restore(_ edited: PixelFrame) throws -> PixelFrame {
            guard let plan else { return edited }
            return try plan.restored.frame(of: plan.geometry.restore(try edited.image(), atSourceScale: true))
        }

        private mutating func planned(_ stored: FrameSize, _ orientation: FrameOrientation) throws -> Plan {
            if let plan, plan.stored == stored, plan.orientation == orientation { return plan }
            let geometry = try FrameGeometry(source: orientation.size(of: stored), model: model, fit: fit)
            let crop = FrameSize(width: geometry.crop.width, height: geometry.crop.height)
            let made = Plan(
                stored: stored, orientation: orientation, geometry: geometry,
                restored: try PixelBufferPool(frames: crop))
            plan = made
            return made
        }
    }
#endif
