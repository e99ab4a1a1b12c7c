/// The two guidance scales as a person sets them: within the model's ranges, by value, by steps or by preset.
public struct GuidanceControls: Sendable, Hashable {
    /// One of the two scales.
    public enum Scale: String, Sendable, Codable, CaseIterable {
        /// s_T: how much the prompt counts.
        case text
        /// s_I: how much the frame counts.
        case image
    }

    /// Settings with a name, made of the model's own ranges.
    public enum Preset: String, Sendable, Codable, CaseIterable {
        /// Half-way from the standard to less of the prompt and more of the frame.
        case subtle
        /// The model's own scales.
        case standard
        /// Half-way from the standard to more of the prompt and less of the frame.
        case strong
    }

    private struct Control: Sendable, Hashable {
        let range: ScaleRange
        var value: Double

        /// Where `value` is in the range.
        init(_ name: Scale, _ range: ScaleRange, _ value: Double) throws(EditError) {
            // A value that is not a number is in no range.
            guard value >= range.minimum && value <= range.maximum else {
                throw .scaleOutOfRange(
                    name: name.rawValue, value: value, minimum: range.minimum, maximum: range.maximum)
            }
            (self.range, self.value) = (range, value)
        }
    }

    /// Steps that a range is divided into, about.
    private static let stepCount = 20.0

    private var textControl: Control
    private var imageControl: Control

    /// Scales of a model; those that are left out are the model's own.
    ///
    /// - Throws: `EditError.scaleOutOfRange`.
    public init(_ guidance: Guidance, text: Double? = nil, image: Double? = nil) throws(EditError) {
        textControl = try Control(.text, guidance.text, text ?? guidance.text.standard)
        imageControl = try Control(.image, guidance.image, image ?? guidance.image.standard)
    }

    /// Both scales.
    public var scales: GuidanceScales {
        GuidanceScales(text: textControl.value, image: imageControl.value)
    }

    /// The value of a scale.
    public func value(of scale: Scale) -> Double { control(scale).value }

    /// The values that a scale may have.
    public func range(of scale: Scale) -> ScaleRange { control(scale).range }

    /// How far a step goes: 1, 2 or 5 times a power of ten, about a twentieth of the range; 0 where the range is one
    /// value.
    public func step(of scale: Scale) -> Double {
        let range = range(of: scale)
        let wanted = (range.maximum - range.minimum) / Self.stepCount
        guard wanted > 0 && wanted.isFinite else { return 0 }
        var power = 1.0
        while power > wanted { power /= 10 }
        while power * 10 <= wanted { power *= 10 }
        return [5, 2].map { $0 * power }.first { $0 <= wanted } ?? power
    }

    /// Where a scale is in its range, from 0 to 1.
    public func position(of scale: Scale) -> Double {
        let (range, value) = (range(of: scale), value(of: scale))
        return range.maximum > range.minimum ? (value - range.minimum) / (range.maximum - range.minimum) : 0
    }

    /// Sets a scale.
    ///
    /// - Throws: `EditError.scaleOutOfRange`; the old value stays then.
    public mutating func set(_ scale: Scale, to value: Double) throws(EditError) {
        let checked = try Control(scale, range(of: scale), value)
        replace(scale, checked.value)
    }

    /// Sets a scale to the nearest value that it may have; what is not a number changes nothing.
    public mutating func setNearest(_ scale: Scale, to value: Double) {
        let range = range(of: scale)
        if !value.isNaN { replace(scale, min(max(value, range.minimum), range.maximum)) }
    }

    /// Moves a scale by so many steps, to the grid of steps from the smallest value on, and not out of its range.
    public mutating func move(_ scale: Scale, by steps: Int) {
        let (range, step) = (range(of: scale), step(of: scale))
        guard step > 0 else { return }
        let place = ((value(of: scale) - range.minimum) / step).rounded() + Double(steps)
        setNearest(scale, to: range.minimum + place * step)
    }

    /// Takes a preset.
    public mutating func apply(_ preset: Preset) {
        let (text, image) = (textControl.range, imageControl.range)
        switch preset {
        case .subtle:
            textControl.value = (text.standard + text.minimum) / 2
            imageControl.value = (image.standard + image.maximum) / 2
        case .standard:
            (textControl.value, imageControl.value) = (text.standard, image.standard)
        case .strong:
            textControl.value = (text.standard + text.maximum) / 2
            imageControl.value = (image.standard + image.minimum) / 2
        }
    }

    private func control(_ scale: Scale) -> Control {
        switch scale {
        case .text: textControl
        case .image: imageControl
        }
    }

    private mutating func replace(_ scale: Scale, _ value: Double) {
        switch scale {
        case .text: textControl.value = value
        case .image: imageControl.value = value
        }
    }
}

extension GuidanceControls: Codable {
    private enum CodingKeys: String, CodingKey {
        case text, image
    }

    private enum ControlKeys: String, CodingKey {
        case range, value
    }

    /// Reads controls; what lies outside its range, or a range that is none, is refused.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func read(_ scale: Scale, _ key: CodingKeys) throws -> Control {
            let inner = try container.nestedContainer(keyedBy: ControlKeys.self, forKey: key)
            let range = try inner.decode(ScaleRange.self, forKey: .range)
            guard range.minimum <= range.standard && range.standard <= range.maximum else {
                throw DecodingError.dataCorruptedError(
                    forKey: .range, in: inner, debugDescription: "The standard is outside the range.")
            }
            do {
                return try Control(scale, range, inner.decode(Double.self, forKey: .value))
            } catch let error as EditError {
                throw DecodingError.dataCorruptedError(
                    forKey: .value, in: inner, debugDescription: error.localizedDescription)
            }
        }
        textControl = try read(.text, .text)
        imageControl = try read(.image, .image)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        for (control, key) in [(textControl, CodingKeys.text), (imageControl, .image)] {
            var inner = container.nestedContainer(keyedBy: ControlKeys.self, forKey: key)
            try inner.encode(control.range, forKey: .range)
            try inner.encode(control.value, forKey: .value)
        }
    }
}
