/// Where components run: Core ML, a process, or a stand-in for tests.
///
/// Tensors are the backend's own, so that nothing is copied between components that share memory. All functions may be
/// called at the same time, but no component runs twice at once from one pipeline's frames.
public protocol EditBackend: Sendable {
    /// A frame of the model's size, 8-bit.
    associatedtype Frame: Sendable
    /// A component's input or output.
    associatedtype Tensor: Sendable

    /// TextEncoder: text states of ids, as many as the model has positions.
    func textStates(ids: [Int32]) async throws -> Tensor
    /// Conditioner: its outputs by name. The scales are nil where the model takes none.
    func condition(_ states: Tensor, timestep: Int, guidance: GuidanceScales?) async throws -> [String: Tensor]
    /// Encoder: image latents of a frame.
    func encode(_ frame: Frame) async throws -> Tensor
    /// Denoiser: the x0 estimate. `imageLatents` is nil where the pass goes without the frame, zeros take their place
    /// then, and where the model has no such input.
    func denoise(imageLatents: Tensor?, latents: Tensor, conditioning: [String: Tensor]) async throws -> Tensor
    /// Decoder: the edited frame of latents.
    func decode(_ latents: Tensor) async throws -> Frame

    /// A latents tensor of numbers in row-major order, rounded to the type that components take.
    func latents(_ values: [Float]) async throws -> Tensor
    /// The numbers of a latents tensor in row-major order.
    func values(of latents: Tensor) async throws -> [Float]
}

/// The guidance scales s_T and s_I.
public struct GuidanceScales: Sendable, Hashable, Codable {
    /// s_T: how much the prompt counts.
    public let text: Double
    /// s_I: how much the frame counts.
    public let image: Double

    /// Scales.
    public init(text: Double, image: Double) {
        (self.text, self.image) = (text, image)
    }
}
