/// What to change, and how strongly.
public struct EditInstruction: Sendable, Hashable, Codable {
    /// What to change: make it snow.
    public var prompt: String
    /// nil takes the model's own.
    public var textGuidance: Double?
    /// nil takes the model's own.
    public var imageGuidance: Double?

    /// An instruction; scales that are left out are the model's own.
    public init(prompt: String, textGuidance: Double? = nil, imageGuidance: Double? = nil) {
        (self.prompt, self.textGuidance, self.imageGuidance) = (prompt, textGuidance, imageGuidance)
    }

    /// The scales within the model's ranges.
    ///
    /// - Throws: `EditError.scaleOutOfRange`.
    func scales(_ guidance: Guidance) throws(EditError) -> GuidanceScales {
        try GuidanceControls(guidance, text: textGuidance, image: imageGuidance).scales
    }
}

/// Everything of an instruction that the Denoiser needs: for every step of the schedule the passes of that step.
struct Conditioning<Tensor: Sendable>: Sendable {
    struct Pass: Sendable {
        let tensors: [String: Tensor]
        let usesImage: Bool
        let weight: Float
    }

    let steps: [[Pass]]
}
