import Testing

@testable import MobieCore

/// Something is cancelled inside every call of a component that a session makes, one after the other: every task ends,
/// what was not cancelled goes on, and nothing comes out of order.
@Suite(.timeLimit(.minutes(20)))
struct CancellationTests {
    enum Target: String, CaseIterable {
        case session, reader, feeder, change, edit
    }

    /// Lets a component's call cancel what a test decides later.
    private actor Trigger {
        private let at: Int
        private var calls = 0
        private var action: (@Sendable () async -> Void)?

        init(at call: Int) {
            at = call
        }

        func arm(_ action: @escaping @Sendable () async -> Void) {
            self.action = action
        }

        /// Lets go of what the action holds: a session that holds its components, which hold this.
        func disarm() {
            action = nil
        }

        /// A component was called; from the moment it is armed, call number `at` acts.
        func called() async {
            guard let action else { return }
            calls += 1
            if calls == at { await action() }
        }
    }

    private static let frames = 5

    /// Of one step and one pass, and of three steps of three passes; components that listen to cancellation, and others.
    @Test(arguments: Target.allCases, ["embedded", "three-pass"])
    func everyTaskEndsWhateverIsCancelled(target: Target, base: String) async throws {
        let read = try Models.manifest(base)
        let denoiserRuns = read.schedule.steps.count * read.method.guidance.passes.count
        // Calls of the frames, of a single edit, and of a change; then some that nothing comes to.
        let calls = (Self.frames + 1) * (2 + denoiserRuns) + 2 + denoiserRuns + 2
        for call in 1...calls {
            for listens in [false, true] { try await run(target, at: call, read, listens: listens) }
        }
    }

    private func run(_ target: Target, at call: Int, _ read: ModelManifest, listens: Bool) async throws {
        let trigger = Trigger(at: call)
        let backend = StandInBackend { _, _ in
            await trigger.called()
            await Task.yield()
            if listens { try Task.checkCancellation() }
        }
        let manifest = read.replacing(
            latents: [1, 4, 1, 1], steps: read.schedule.steps, guidance: read.method.guidance)
        var options = EditPipeline<StandInBackend>.Options()
        options.keepsEveryFrame = true
        let session = EditSession(
            pipeline: try EditPipeline(
                manifest: manifest, tokenizer: try Models.tokenizer(), backend: backend, options: options))
        try await session.change(to: "make it snow")

        let (frames, source) = AsyncStream.makeStream(of: StandInBackend.Frame.self)
        func give(_ numbers: Range<Int>) {
            for number in numbers { source.yield(.init(number: number, values: [1, 2, 3, 4])) }
        }
        give(0..<Self.frames - 1)
        let start = Latch()
        let reader = Task {
            await start.wait()
            var numbers: [Int] = []
            for await edited in session.frames { numbers.append(edited.number) }
            return numbers
        }
        let feeder = Task {
            await start.wait()
            try await session.feed(frames)
        }
        let change = Task {
            await start.wait()
            return try await session.change(to: "make it rain")
        }
        let edit = Task {
            await start.wait()
            return try await session.pipeline.edit(.init(number: 9, values: [1, 2, 3, 4]))
        }
        await trigger.arm {
            switch target {
            case .session: await session.stop()
            case .reader: reader.cancel()
            case .feeder: feeder.cancel()
            case .change: change.cancel()
            case .edit: edit.cancel()
            }
        }
        await start.open()
        let (changed, single) = (await change.result, await edit.result)
        // The end of the clip ends the session: not before the others are done.
        give(Self.frames - 1..<Self.frames)
        source.finish()
        let fed = await feeder.result
        // A feeder that is cancelled leaves the stream open.
        await session.finish()
        let numbers = await reader.value
        let label = "\(target) at call \(call), \(listens)"
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count, "\(label)")
        let mayStop = target == .session || target == .reader
        expect(fed.map { true }, target == .feeder, mayStop, label)
        expect(changed.map { $0 == .applied }, target == .change, mayStop, label)
        expect(single.map { $0.values.count == 4 }, target == .edit, mayStop, label)
        if ![.session, .reader, .feeder].contains(target) { #expect(numbers == Array(0..<Self.frames), "\(label)") }
        await session.stop()
        await #expect(throws: EditError.stopped) { try await session.change(to: "fog") }
        await trigger.disarm()
    }

    /// What a task gave is right, or it was cancelled, or the session was stopped under it.
    private func expect(
        _ result: Result<Bool, any Error>, _ mayBeCancelled: Bool, _ mayBeStopped: Bool, _ label: String
    ) {
        switch result {
        case .success(let isRight): #expect(isRight, "\(label)")
        case .failure(is CancellationError): #expect(mayBeCancelled || mayBeStopped, "\(label)")
        case .failure(let error): #expect(error as? EditError == .stopped && mayBeStopped, "\(label): \(error)")
        }
    }
}
