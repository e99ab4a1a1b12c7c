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
        /// - Throws: `ServerError`, `EditError`, `TokenizerError`, `GeometryError`, or `CancellationError`.
        public func run(
            model: ModelFolder, connection: ServerConnection,
            progress: @Sendable (Int, Int64?) -> Void = { _, _ in }
        ) async throws -> Report {
            let backend = try await ProcessBackend(model: model, connection: connection)
            let clip = try await ServedClip.open(input, limit: limit, on: connection)
            try await clip.create(output, replaces: replaces)
            let tokenizer = try CLIPTokenizer(modelFolder: model.url, positions: model.manifest.tokenizer.positions)
            var options = EditPipeline<ProcessBackend>.Options()
            options.seed = seed
            options.keepsEveryFrame = true
            let pipeline = try EditPipeline(
                manifest: model.manifest, tokenizer: tokenizer, backend: backend, options: options)
            try await pipeline.change(instruction)
            let geometry = try FrameGeometry(source: clip.size, model: model.manifest.frame, fit: fit)
            var digests: [String] = []
            do {
                try await pipeline.editClip { () -> (frame: InterleavedImage, place: ClipFrame.Place)? in
                    guard let frame = try await clip.next() else { return nil }
                    return (frame: try geometry.prepare(frame.pixels), place: frame.place)
                } write: { edited, place in
                    let result = try geometry.restore(edited)
                    digests.append(SHA256.hex(of: result.bytes))
                    try await clip.write(result, at: place)
                    progress(digests.count, clip.frames)
                }
            } catch let failure as FrameFailure {
                // The server says which component it was.
                throw failure.cause
            }
            let notes = try await clip.finish()
            let region = geometry.region
            return Report(
                frames: digests.count, frameSize: FrameSize(width: region.width, height: region.height), notes: notes,
                frameDigests: digests, statistics: await pipeline.statistics)
        }
    }
#endif
