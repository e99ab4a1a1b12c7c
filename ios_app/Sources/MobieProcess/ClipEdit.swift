#if os(macOS) || os(Linux)
    import Foundation
    import MobieCore

    /// Edits a clip with a server: reading, components and writing happen there, everything between them here.
    public struct ClipEdit: Sendable {
        /// What became of a clip.
        public struct Report: Sendable, Codable {
            /// Frames edited.
            public let frames: Int
            /// Of the result.
            public let frameSize: FrameSize
            /// What the user should know.
            public let notes: [String]
            /// SHA-256 of every edited frame's RGB bytes, before they were encoded.
            public let frameDigests: [String]
            /// Latencies of the pipeline.
            public let statistics: FrameStatistics.Report
        }

        /// The clip.
        public var input: String
        /// .mp4, .mov, .m4v or .mkv.
        public var output: String
        /// What to change.
        public var instruction: EditInstruction
        /// Of the noise.
        public var seed: UInt64 = 0
        /// How a frame is brought to the model's size.
        public var fit = FrameFit.cover
        /// Frames at most.
        public var limit: Int64?
        /// An output that exists is replaced.
        public var replaces = false

        /// An edit with the usual values for what is left out.
        public init(input: String, output: String, instruction: EditInstruction) {
            (self.input, self.output, self.instruction) = (input, output, instruction)
        }

        /// Edits the clip; the output appears whole or not at all.
        ///
        /// - Parameters:
        ///   - model: The folder that the server was started with.
        ///   - progress: Called after every frame with the frames done, and how many there are where that is known.
        /// - Throws: `ServerError`, `EditError`, `TokenizerError`, `PromptTooLong`, `GeometryError`, or
        ///   `CancellationError`.
        public func run(
            model: ModelFolder, connection: ServerConnection,
            progress: @Sendable (Int, Int64?) -> Void = { _, _ in }
        ) async throws -> Report {
            let backend = try await ProcessBackend(model: model, connection: connection)
            let clip = try await ServedClip.open(input, limit: limit, on: connection)
            try await clip.create(output, replaces: replaces)
            let tokenizer = try CLIPTokenizer(modelFolder: model.url, positions: model.manifest.tokenizer.positions)
            let needed = try tokenizer.encode(instruction.prompt)
            if needed.isTruncated { throw PromptTooLong(count: needed.count, positions: tokenizer.positions) }
            var options = EditPipeline<ProcessBackend>.Options()
            options.seed = seed
            options.keepsEveryFrame = true
            let pipeline = try EditPipeline(
                manifest: model.manifest, tokenizer: tokenizer, backend: backend, options: options)
            try await pipeline.change(instruction)
            let geometry = try FrameGeometry(source: clip.size, model: model.manifest.frame, fit: fit)
            let digests = try await edit(clip, pipeline, geometry, progress)
            let notes = try await clip.finish()
            let region = geometry.region
            return Report(
                frames: digests.count, frameSize: FrameSize(width: region.width, height: region.height), notes: notes,
                frameDigests: digests, statistics: await pipeline.statistics)
        }

        /// Frames in beside frames out, until the clip ends or something fails.
        private func edit(
            _ clip: ServedClip, _ pipeline: EditPipeline<ProcessBackend>, _ geometry: FrameGeometry,
            _ progress: @Sendable (Int, Int64?) -> Void
        ) async throws -> [String] {
            // Frames come out in the order in which they went in, and every one does.
            let (places, inside) = AsyncStream.makeStream(of: ClipFrame.Place.self)
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    do {
                        var last: Int64?
                        while let frame = try await clip.next() {
                            // The pipeline would drop it, and the places of all that follow would be wrong.
                            if let last, frame.place.index <= last {
                                throw ServerError.badAnswer(call: "clip.read", problem: "its frames are not in order")
                            }
                            last = frame.place.index
                            inside.yield(frame.place)
                            try await pipeline.submitInTurn(
                                try geometry.prepare(frame.pixels), number: Int(frame.place.index))
                        }
                        await pipeline.finish()
                    } catch {
                        await pipeline.stop()
                        throw error
                    }
                }
                var digests: [String] = []
                var order = places.makeAsyncIterator()
                for await outcome in pipeline.outcomes {
                    guard case .edited(let edited) = outcome, let place = await order.next() else {
                        if case .failed(let failure) = outcome { throw failure.cause }
                        throw CancellationError()
                    }
                    let result = try geometry.restore(edited.frame)
                    digests.append(SHA256.hex(of: result.bytes))
                    try await clip.write(result, at: place)
                    progress(digests.count, clip.frames)
                }
                // Why the frames ended.
                try await group.waitForAll()
                try Task.checkCancellation()
                return digests
            }
        }
    }

    /// A prompt does not fit into the model.
    public struct PromptTooLong: LocalizedError, Sendable, Equatable {
        /// Tokens that it needs.
        public let count: Int
        /// Tokens that fit.
        public let positions: Int

        public var errorDescription: String? { "The prompt needs \(count) tokens, and \(positions) fit." }
        public var recoverySuggestion: String? { "Shorten it." }
    }
#endif
