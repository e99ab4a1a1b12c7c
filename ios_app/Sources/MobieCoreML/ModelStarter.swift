import Foundation
import MobieCore

/// Takes a model folder to a backend that works: verifies, compiles once, loads, and runs a real first inference, on
/// fewer compute units where the last launch did not survive it.
///
/// One starter owns one model folder. Its functions may be called from anywhere; while one works, others are refused
/// with `StartError.busy`.
public actor ModelStarter<Runtime: ModelRuntime> {
    /// Where things are remembered between launches.
    public struct Places: Sendable {
        /// Compiled models; several starters may share them.
        public let cache: CompiledModelCache
        /// Small files, some for each model, in a folder that exists; several starters may share it.
        public let records: URL

        /// Places.
        public init(cache: CompiledModelCache, records: URL) {
            (self.cache, self.records) = (cache, records)
        }
    }

    /// The model as it is now, and after every change; the newest one waits for its reader.
    public nonisolated let states: AsyncStream<ModelLifecycle.State>

    /// Why the model does not run as recommended, for people; nil where it does.
    public private(set) var explanation: String?

    /// How far verification is; nil before it.
    public private(set) var verification: ModelFolder.Progress?

    /// Seconds that every stage took when it was last done by this starter; compiling is short where all was cached.
    public private(set) var durations: [ModelLifecycle.Stage: Double] = [:]

    private let folder: ModelFolder
    private let runtime: Runtime
    private let places: Places
    private let choice: ComputeUnitChoice
    private let system: SystemIdentity
    private let support: @Sendable (ModelManifest) -> ModelFailure?
    private let seconds: @Sendable () -> Double
    private let marker: CrashMarker
    private let continuation: AsyncStream<ModelLifecycle.State>.Continuation
    private let digest: String
    private var lifecycle = ModelLifecycle()
    private var isBusy = false
    private var stageStart = 0.0
    private var units: [ComponentName: ModelComponent.ComputeUnits] = [:]
    private var held: [CompiledModel] = []
    private var backend: Runtime.Backend?

    /// A starter of a model folder; nothing is done yet.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - runtime: Compiles and loads it.
    ///   - places: Where compiled models and small files are kept.
    ///   - computeUnits: What is asked for instead of the manifest's recommendation.
    ///   - system: What compiled models belong to.
    ///   - support: Why this system cannot run a model at all.
    ///   - nanoseconds: A clock that does not go back.
    public init(
        folder: ModelFolder, runtime: Runtime, places: Places, computeUnits: ComputeUnitChoice = ComputeUnitChoice(),
        system: SystemIdentity = .current,
        support: @escaping @Sendable (ModelManifest) -> ModelFailure? = {
            $0.unsupported(on: .current, version: ProcessInfo.processInfo.operatingSystemVersion)
        },
        nanoseconds: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) {
        (states, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.folder, self.runtime, self.places, choice) = (folder, runtime, places, computeUnits)
        (self.system, self.support) = (system, support)
        seconds = { Double(nanoseconds()) / 1e9 }
        digest = folder.manifest.digest
        marker = CrashMarker(file: places.records.appendingPathComponent("\(digest)-warming-up.json"))
    }

    deinit {
        continuation.finish()
    }

    /// Where the model is.
    public var state: ModelLifecycle.State { lifecycle.state }

    /// The work that is going on, with what it took last time; nil where none is. Core ML reports no progress of its
    /// own, so a host asks for this as often as it draws.
    public func progress() -> StageDurations.Progress? {
        lifecycle.stage.map {
            StageDurations(contentsOf: durationRecord).progress($0, model: digest, elapsed: seconds() - stageStart)
        }
    }

    /// Whether every package was compiled for this system before: a start is expected to be quick.
    public func isExpectedCached() async -> Bool {
        for component in folder.manifest.components where component.form == .package {
            if await !places.cache.contains(compiler.key(component)) { return false }
        }
        return true
    }

    /// What the runtime loads the model from; compute plans are asked for with it.
    public var loadable: LoadableModel {
        // Not the starter itself, which holds the backend that holds this.
        let compiler = compiler
        let manifest = folder.manifest
        return LoadableModel(manifest: manifest, computeUnits: units) { name in
            guard let component = manifest[name] else {
                throw ModelFailure(.damaged, "The model lacks the \(name.rawValue).")
            }
            return try await compiler.compiled(component)
        }
    }

    /// Starts the model, from nothing or after a failure.
    ///
    /// - Returns: A backend that did a first inference; the one that is there where the model is ready.
    /// - Throws: `ModelFailure`, `StartError` while it is being started or where it rests, or `CancellationError`, after
    ///   which the model is absent.
    public func start() async throws -> Runtime.Backend {
        if !isBusy, let backend, lifecycle.state == .ready { return backend }
        switch lifecycle.state {
        case .suspended: throw StartError.suspended
        case .failed: return try await run(.retry)
        default: return try await run(.found)
        }
    }

    /// The model rests; its memory is freed where the system asked for it. Nothing where it is not ready.
    public func suspend(_ reason: ModelLifecycle.SuspensionReason) {
        guard !isBusy, let effects = try? handle(.suspend(reason)) else { return }
        if effects.contains(.release) { release() }
    }

    /// Ends a rest; a model whose memory was freed is loaded and warmed up again.
    ///
    /// - Throws: As `start()`; `StartError.notSuspended` where it does not rest.
    public func resume() async throws -> Runtime.Backend {
        if isBusy { throw StartError.busy }
        guard case .suspended = lifecycle.state else { throw StartError.notSuspended }
        return try await run(.resume)
    }

    /// Frees the model.
    ///
    /// - Throws: `StartError.busy` while it is being started: cancel the task that does.
    public func unload() throws(StartError) {
        if isBusy { throw .busy }
        guard (try? handle(.unload)) != nil else { return }
        release()
    }

    /// Forgets that the model ended the process, so that it is started as recommended again.
    public func forgetCrashes() throws {
        try marker.remove()
        var memory = ComputeUnitMemory(contentsOf: ceilings)
        memory.forget(model: digest)
        try memory.write(to: ceilings)
        explanation = nil
    }

    private func run(_ first: ModelLifecycle.Event) async throws -> Runtime.Backend {
        if isBusy { throw StartError.busy }
        isBusy = true
        defer { isBusy = false }
        do {
            var effects = try handle(first)
            while !effects.isEmpty {
                if let event = try await perform(effects.removeFirst()) { effects += try handle(event) }
            }
        } catch {
            if error is CancellationError || Task.isCancelled {
                abandon(.unload)
                throw CancellationError()
            }
            // Before the state changes: it says what failed.
            let cause = failure(error)
            abandon(.fail(cause))
            throw cause
        }
        guard let backend else { throw ModelFailure(.loading, "The model has no backend.") }
        return backend
    }

    /// Ends a start that did not succeed.
    private func abandon(_ event: ModelLifecycle.Event) {
        guard let effects = try? handle(event) else { return }
        // A marker that cannot be removed costs compute units at the next launch, not this failure's explanation.
        if effects.contains(.removeCrashMarker) { try? marker.remove() }
        if effects.contains(.release) { release() }
    }

    private func perform(_ effect: ModelLifecycle.Effect) async throws -> ModelLifecycle.Event? {
        switch effect {
        case .verify:
            try await timed { try await self.verify() }
            return .verified
        case .compile:
            try await timed { try await self.compile() }
            return .compiled
        case .load:
            try await timed { try await self.load() }
            return .loaded
        case .writeCrashMarker:
            try marker.write(
                CrashMarker.Attempt(
                    model: digest, computeUnits: ModelComponent.ComputeUnits.union(units.values)))
            return nil
        case .warmUp:
            try await timed { try await self.warmUp() }
            return .warmedUp
        case .removeCrashMarker:
            try marker.remove()
            return nil
        case .release:
            release()
            return nil
        }
    }

    private func verify() async throws {
        verification = nil
        if let refusal = support(folder.manifest) { throw refusal }
        try plan()
        let problems = try await Self.problems(of: folder) { progress in
            Task { await self.note(progress) }
        }
        guard let first = problems.first else { return }
        let others = problems.count > 1 ? " \(problems.count - 1) more problems were found." : ""
        throw ModelFailure(.damaged, "The model folder is damaged: \(first)\(others)")
    }

    /// Reads every file away from the actor, which stays free to answer.
    private static nonisolated func problems(
        of folder: ModelFolder, _ progress: @Sendable (ModelFolder.Progress) -> Void
    ) async throws -> [ModelFolder.Problem] {
        try folder.verify(progress: progress)
    }

    private func note(_ progress: ModelFolder.Progress) {
        // Notes may overtake each other.
        if progress.done >= verification?.done ?? 0 { verification = progress }
    }

    /// Decides what components run on, from what happened at earlier launches.
    private func plan() throws {
        var memory = ComputeUnitMemory(contentsOf: ceilings)
        let ceiling = memory.ceiling(model: digest, system: system)
        units = choice.units(of: folder.manifest, ceiling: ceiling)
        let plan = try marker.plan(model: digest, recommended: .union(units.values))
        if let reason = plan.explanation {
            explanation = reason
            memory.remember(model: digest, system: system, ceiling: plan.computeUnits)
            try memory.write(to: ceilings)
            units = choice.units(of: folder.manifest, ceiling: plan.computeUnits)
        } else if let ceiling {
            explanation = "The app ended when this model was started before; it starts with \(ceiling.rawValue)."
        }
    }

    private func compile() async throws {
        for component in folder.manifest.components {
            try Task.checkCancellation()
            held.append(try await compiler.compiled(component))
        }
    }

    private func load() async throws {
        backend = try await runtime.load(loadable)
        // The backend holds what it loaded from here on.
        held = []
        try Task.checkCancellation()
    }

    private func warmUp() async throws {
        guard let backend else { throw ModelFailure(.loading, "The model was not loaded.") }
        try await WarmUp.run(backend, folder.manifest, on: try runtime.blankFrame(of: folder.manifest.frame))
    }

    private func release() {
        backend = nil
        held = []
    }

    private func timed(_ work: () async throws -> Void) async throws {
        let stage = lifecycle.stage
        stageStart = seconds()
        try await work()
        guard let stage else { return }
        let taken = seconds() - stageStart
        durations[stage] = taken
        var known = StageDurations(contentsOf: durationRecord)
        known.record(stage, model: digest, seconds: taken)
        // Without the record the next start only shows no estimate.
        try? known.write(to: durationRecord)
    }

    private func handle(_ event: ModelLifecycle.Event) throws(ModelLifecycle.InvalidTransition)
        -> [ModelLifecycle.Effect]
    {
        let effects = try lifecycle.handle(event)
        continuation.yield(lifecycle.state)
        return effects
    }

    /// The failure that an error of the current stage is.
    private func failure(_ error: any Error) -> ModelFailure {
        if let known = error as? ModelFailure { return known }
        let kind: ModelFailure.Kind =
            switch lifecycle.stage {
            case .verifying: .damaged
            case .compiling: .compilation
            case .loading: .loading
            case .warmingUp, nil: .inference
            }
        return ModelFailure(kind, error.localizedDescription)
    }

    private var compiler: ComponentCompiler<Runtime> {
        ComponentCompiler(folder: folder, runtime: runtime, cache: places.cache, system: system)
    }

    private var durationRecord: URL { places.records.appendingPathComponent("\(digest)-durations.json") }
    private var ceilings: URL { places.records.appendingPathComponent("\(digest)-compute-units.json") }
}
