import Foundation

/// `mobie.json` cannot be read, or says something that cannot be true.
public struct ManifestError: LocalizedError, Sendable, Equatable {
    /// What kind of mistake it is.
    public enum Reason: String, Sendable {
        /// There is no such folder or no manifest in it.
        case missing
        /// The system refused to read it.
        case unreadable
        /// Larger than 16 MiB.
        case tooLarge
        /// Not JSON, or not an object.
        case notJSON
        /// Of another version of the form.
        case version
        /// A field has not the form that the schema asks for.
        case form
        /// Two fields do not agree.
        case contradiction
    }

    /// What kind of mistake it is.
    public let reason: Reason
    /// The field that is wrong, like `components.Denoiser.inputs[0].shape`; empty where no field is to blame.
    public let field: String
    /// What is wrong with it.
    public let problem: String

    public var errorDescription: String? {
        field.isEmpty
            ? "\(ModelManifest.fileName): \(problem)." : "\(ModelManifest.fileName): \(field): \(problem)."
    }

    public var recoverySuggestion: String? {
        switch reason {
        case .missing, .unreadable: "Give the folder that `mobie convert` wrote."
        case .version: "Update this package, or convert the checkpoint again."
        case .tooLarge, .notJSON, .form, .contradiction:
            "The model folder was changed or made by another version: convert the checkpoint again."
        }
    }
}
