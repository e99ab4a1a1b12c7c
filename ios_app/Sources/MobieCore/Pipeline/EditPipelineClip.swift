extension EditPipeline {
    /// Edits a whole clip: frames in beside frames out, until it ends or something fails. The pipeline has ended then; it
    /// needs `Options.keepsEveryFrame`, an instruction, and no other user.
    ///
    /// - Parameters:
    ///   - read: Gives the next frame, of the model's size, and what `write` is to know of it, such as its time; nil after
    ///     the last one.
    ///   - write: Takes every edited frame, in order, with what `read` gave beside it.
    /// - Throws: `FrameFailure` where a stage failed, `EditError.noInstruction`, what `read` and `write` throw, or
    ///   `CancellationError`.
    public nonisolated func editClip<Place: Sendable>(
        read: @escaping @Sendable () async throws -> (frame: Backend.Frame, place: Place)?,
        write: (Backend.Frame, Place) async throws -> Void
    ) async throws {
        precondition(keepsEveryFrame, "Frames would be dropped, and their places would go to others.")
        // Frames come out in the order in which they went in, and every one does.
        let (places, inside) = AsyncStream.makeStream(of: Place.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    while let next = try await read() {
                        inside.yield(next.place)
                        try await self.submitInTurn(next.frame)
                    }
                    await self.finish()
                } catch {
                    await self.stop()
                    throw error
                }
            }
            var order = places.makeAsyncIterator()
            for await outcome in outcomes {
                guard case .edited(let edited) = outcome, let place = await order.next() else {
                    if case .failed(let failure) = outcome { throw failure }
                    throw CancellationError()
                }
                try await write(edited.frame, place)
            }
            // Why the frames ended.
            try await group.waitForAll()
            try Task.checkCancellation()
        }
    }
}
