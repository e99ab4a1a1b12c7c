import Foundation

/// Where a model is on its way from a folder to edited frames.
///
/// Told what happened, it answers what to do next; it is `ready` only after a real first inference. An event that
/// cannot happen in a state is refused, so that a late result of abandoned work changes nothing.
public struct ModelLifecycle: Sendable, Equatable {
    /// Work that takes time and is shown to people.
    public enum Stage: String, Sendable, Codable, CaseIterable {
        /// Every file is read and compared with its digest.
        case verifying
        /// Packages that were not compiled for this system before are.
        case compiling
        /// Core ML loads the compiled models.
        case loading
        /// A first inference runs.
        case warmingUp
    }

    /// Why a model rests.
    public enum SuspensionReason: String, Sendable, Codable {
        /// The system asked for memory.
        case memory
        /// The app went to the background, or the camera was taken away.
        case interrupted
    }

    /// Where a model is.
    public enum State: Sendable, Equatable {
        /// There is none, or it was freed.
        case absent
        /// See `Stage.verifying`.
        case verifying
        /// See `Stage.compiling`.
        case compiling
        /// See `Stage.loading`.
        case loading
        /// See `Stage.warmingUp`.
        case warmingUp
        /// It did a real inference.
        case ready
        /// It rests; `Event.resume` goes on.
        case suspended(SuspensionReason)
        /// It cannot be used; `Event.retry` begins again.
        case failed(ModelFailure)
    }

    /// What happened.
    public enum Event: Sendable, Equatable {
        /// A model folder is there.
        case found
        /// Every file is as the manifest says.
        case verified
        /// Compiled models are there; nothing was compiled where they already were.
        case compiled
        /// All components are loaded.
        case loaded
        /// A real inference gave numbers.
        case warmedUp
        /// The model has to rest.
        case suspend(SuspensionReason)
        /// The rest is over.
        case resume
        /// What was being done failed.
        case fail(ModelFailure)
        /// Try again after a failure.
        case retry
        /// The folder is gone or another is chosen.
        case unload
    }

    /// What the host has to do.
    public enum Effect: Sendable, Equatable {
        /// Compare every file with its digest.
        case verify
        /// Compile what was not compiled for this system before.
        case compile
        /// Load all components.
        case load
        /// Before the first inference, which can end the process.
        case writeCrashMarker
        /// Run a first inference.
        case warmUp
        /// The inference ended, well or with an error that was reported.
        case removeCrashMarker
        /// Free the models.
        case release
    }

    /// An event that cannot happen in the state; nothing changed.
    public struct InvalidTransition: Error, Equatable {
        /// The state it stays in.
        public let state: State
        /// What cannot happen there.
        public let event: Event
    }

    /// Where the model is.
    public private(set) var state = State.absent

    /// No model.
    public init() {}

    /// Takes an event and answers what to do.
    public mutating func handle(_ event: Event) throws(InvalidTransition) -> [Effect] {
        let (next, effects) = try following(event)
        state = next
        return effects
    }

    private func following(_ event: Event) throws(InvalidTransition) -> (State, [Effect]) {
        switch (state, event) {
        case (.absent, .found), (.failed, .retry): return (.verifying, [.verify])
        case (.verifying, .verified): return (.compiling, [.compile])
        case (.compiling, .compiled): return (.loading, [.load])
        case (.loading, .loaded): return (.warmingUp, [.writeCrashMarker, .warmUp])
        case (.warmingUp, .warmedUp): return (.ready, [.removeCrashMarker])
        case (.ready, .suspend(let reason)): return (.suspended(reason), reason == .memory ? [.release] : [])
        // Released models are loaded and warmed up again; the others are as they were.
        case (.suspended(.memory), .resume): return (.loading, [.load])
        case (.suspended(.interrupted), .suspend(.memory)): return (.suspended(.memory), [.release])
        case (.suspended(.interrupted), .resume): return (.ready, [])
        // A failure that is reported ends the danger that the marker stands for.
        case (.warmingUp, .fail(let failure)): return (.failed(failure), [.removeCrashMarker, .release])
        case (.verifying, .fail(let failure)), (.compiling, .fail(let failure)), (.loading, .fail(let failure)),
            (.ready, .fail(let failure)):
            return (.failed(failure), [.release])
        case (.warmingUp, .unload): return (.absent, [.removeCrashMarker, .release])
        case (.verifying, .unload), (.compiling, .unload), (.loading, .unload), (.ready, .unload),
            (.suspended, .unload), (.failed, .unload):
            return (.absent, [.release])
        default: throw InvalidTransition(state: state, event: event)
        }
    }

    /// The work that is going on; nil where none is.
    public var stage: Stage? {
        switch state {
        case .verifying: .verifying
        case .compiling: .compiling
        case .loading: .loading
        case .warmingUp: .warmingUp
        case .absent, .ready, .suspended, .failed: nil
        }
    }
}

/// Why a model cannot be used.
public struct ModelFailure: LocalizedError, Sendable, Equatable {
    /// What failed.
    public enum Kind: String, Sendable, Codable {
        /// The folder is not as its manifest says.
        case damaged
        /// A package could not be compiled.
        case compilation
        /// A compiled model could not be loaded.
        case loading
        /// A component failed, or gave what it should not.
        case inference
        /// For macOS alone, or for a newer system.
        case unsupported
        /// The last launches ended during warm-up on every kind of compute unit.
        case crashed
    }

    /// What failed.
    public let kind: Kind
    /// What happened, for people.
    public let problem: String

    /// A failure.
    public init(_ kind: Kind, _ problem: String) {
        (self.kind, self.problem) = (kind, problem)
    }

    public var errorDescription: String? { problem }

    public var recoverySuggestion: String? {
        switch kind {
        case .damaged: "Copy the model folder again, or convert the checkpoint again."
        case .compilation, .loading, .inference: "Try again; if it fails again, choose other compute units."
        case .unsupported: "Choose a model that was converted for this device."
        case .crashed: "Choose a smaller model."
        }
    }
}
