import Foundation
import MobieCore

/// What starts models: Core ML, or a stand-in for tests.
public protocol ModelRuntime: Sendable {
    /// What runs the components of a started model.
    associatedtype Backend: EditBackend

    /// Compiles a package to a place of the runtime's choice; the caller moves it from there.
    func compile(_ package: URL) async throws -> URL

    /// Loads all components.
    func load(_ model: LoadableModel) async throws -> Backend

    /// A frame of the model's size for the first inference.
    func blankFrame(of size: FrameSize) throws -> Backend.Frame
}

/// A model whose packages are compiled.
public struct LoadableModel: Sendable {
    /// Of the model folder.
    public let manifest: ModelManifest
    /// What every component may run on.
    public let computeUnits: [ComponentName: ModelComponent.ComputeUnits]
    /// Gives a component's compiled model, which is compiled again should it have gone; hold it as long as the model.
    public let compiled: @Sendable (ComponentName) async throws -> CompiledModel
}
