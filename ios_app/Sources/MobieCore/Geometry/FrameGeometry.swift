import Foundation

/// How a source frame is fitted to the model's frame.
public enum FrameFit: String, Sendable, CaseIterable, Codable {
    /// The largest centred part of the source with the model's aspect ratio fills the model's frame.
    case cover
    /// The whole source fills a centred region of the model's frame; around it the region's edge is repeated.
    case contain
    /// The whole source fills the model's frame, whatever its aspect ratio.
    case stretch
}

/// A rectangle of whole pixels; (x, y) is its upper left corner.
public struct PixelRectangle: Sendable, Equatable, Hashable {
    /// Pixels to the left of it.
    public let x: Int
    /// Pixels above it.
    public let y: Int
    /// In pixels.
    public let width: Int
    /// In pixels.
    public let height: Int

    /// A rectangle in pixels.
    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}

/// A frame's size cannot be worked with.
public struct GeometryError: LocalizedError, Sendable, Equatable {
    /// What is wrong.
    public let problem: String
    /// What to do.
    public let recoverySuggestion: String?

    public var errorDescription: String? { "\(problem)." }
}

/// Places a source frame in the model's frame and back, in integers, by the same rules as `mobie edit`.
///
/// With (sw, sh) the upright source, (mw, mh) the model's frame and division rounding down:
///
/// - stretch: `crop` is the whole source, `region` the whole model frame.
/// - cover: `region` is the whole model frame; `crop` the largest centred rectangle with the model's aspect ratio. Where
///   sw mh > sh mw: height sh, width max(1, (2 sh mw + mh) / (2 mh)), else width sw, height max(1, (2 sw mh + mw) /
///   (2 mw)); never larger than the source.
/// - contain: `crop` is the whole source; `region` the centred rectangle with the source's aspect ratio and even sides.
///   Where sw mh > sh mw: width mw, height max(2, 2 ((sh mw + sw) / (2 sw))), else height mh, width max(2,
///   2 ((sw mh + sh) / (2 sh))); never larger than the model's frame.
public struct FrameGeometry: Sendable, Equatable {
    /// Longest side of a frame in pixels.
    public static let maximumSide = 1 << 20

    /// Upright source frames.
    public let source: FrameSize
    /// The model's frames.
    public let model: FrameSize
    /// The part of the source that the model sees.
    public let crop: PixelRectangle
    /// The part of the model's frame that it fills.
    public let region: PixelRectangle

    /// Plans how frames of one size go through a model of another.
    ///
    /// - Throws: `GeometryError` where a side is not between 1 and `maximumSide`.
    public init(source: FrameSize, model: FrameSize, fit: FrameFit) throws(GeometryError) {
        let (sw, sh, mw, mh) = (source.width, source.height, model.width, model.height)
        guard [sw, sh, mw, mh].allSatisfy((1...Self.maximumSide).contains) else {
            throw GeometryError(
                problem: "A frame of \(sw)x\(sh) pixels cannot be fitted to \(mw)x\(mh)",
                recoverySuggestion: "Give frames of 1 to \(Self.maximumSide) pixels a side.")
        }
        var crop = PixelRectangle(x: 0, y: 0, width: sw, height: sh)
        var region = PixelRectangle(x: 0, y: 0, width: mw, height: mh)
        let isWider = sw * mh > sh * mw
        switch fit {
        case .cover:
            let width = isWider ? min(sw, max(1, (2 * sh * mw + mh) / (2 * mh))) : sw
            let height = isWider ? sh : min(sh, max(1, (2 * sw * mh + mw) / (2 * mw)))
            crop = PixelRectangle(x: (sw - width) / 2, y: (sh - height) / 2, width: width, height: height)
        case .contain:
            let width = isWider ? mw : min(mw, max(2, 2 * ((sw * mh + sh) / (2 * sh))))
            let height = isWider ? min(mh, max(2, 2 * ((sh * mw + sw) / (2 * sw)))) : mh
            region = PixelRectangle(x: (mw - width) / 2, y: (mh - height) / 2, width: width, height: height)
        case .stretch: break
        }
        (self.source, self.model, self.crop, self.region) = (source, model, crop, region)
    }

    /// Where a point of the model's frame lies in the source; pixel i covers i to i + 1 on both sides.
    public func toSource(_ point: (x: Fraction, y: Fraction)) -> (x: Fraction, y: Fraction) {
        (
            (point.x - region.x) * Fraction(crop.width, region.width) + crop.x,
            (point.y - region.y) * Fraction(crop.height, region.height) + crop.y
        )
    }

    /// Where a point of the source lies in the model's frame: the inverse of `toSource`.
    public func toModel(_ point: (x: Fraction, y: Fraction)) -> (x: Fraction, y: Fraction) {
        (
            (point.x - crop.x) * Fraction(region.width, crop.width) + region.x,
            (point.y - crop.y) * Fraction(region.height, crop.height) + region.y
        )
    }

    /// The model's frame of a source frame: the crop, resized to the region, its edge repeated around it.
    ///
    /// - Throws: `GeometryError` where the frame has not the source's size.
    public func prepare(_ frame: InterleavedImage) throws(GeometryError) -> InterleavedImage {
        try check(frame, source)
        let placed = frame.cropped(to: crop).resized(width: region.width, height: region.height)
        return placed.padded(width: model.width, height: model.height, x: region.x, y: region.y)
    }

    /// The result inside an edited model frame.
    ///
    /// - Parameters:
    ///   - edited: Of the model's size.
    ///   - atSourceScale: Enlarge (or shrink) the result to the size of the crop, in source pixels.
    /// - Throws: `GeometryError` where the frame has not the model's size.
    public func restore(
        _ edited: InterleavedImage, atSourceScale: Bool = false
    ) throws(GeometryError) -> InterleavedImage {
        try check(edited, model)
        let result = edited.cropped(to: region)
        return atSourceScale ? result.resized(width: crop.width, height: crop.height) : result
    }

    private func check(_ frame: InterleavedImage, _ size: FrameSize) throws(GeometryError) {
        if (frame.width, frame.height) != (size.width, size.height) {
            let found = "\(frame.width)x\(frame.height)"
            throw GeometryError(
                problem: "A frame is \(found) pixels where \(size.width)x\(size.height) are planned",
                recoverySuggestion: "Give frames of that size, or plan again for these.")
        }
    }
}
