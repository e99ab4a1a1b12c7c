#if canImport(CoreML) && canImport(AVFoundation)
    import Foundation
    import MobieCapture
    import MobieCore
    import MobieCoreML
    import MobiePixels

    /// Edits a clip with Core ML, every frame of it, at the model's size: the whole way that an app goes, for command
    /// lines and test hosts.
    public struct CoreMLClipEdit: Sendable {
        private typealias Pipeline = EditPipeline<CoreMLBackend>

        /// The clip.
        public var input: URL
        /// .mp4 or .mov.
        public var output: URL
        /// What to change.
        public var instruction: EditInstruction
        /// Of the noise.
        public var seed: UInt64 = 0
        /// How a frame is brought to the model's size.
        public var fit = FrameFit.cover
        /// Frames at most.
        public var limit: Int?
        /// An output that exists is replaced.
        public var replaces = false
        /// What is asked for instead of the manifest's recommendation.
        public var computeUnits = ComputeUnitChoice()

        /// An edit with the usual values for what is left out.
        public init(input: URL, output: URL, instruction: EditInstruction) {
            (self.input, self.output, self.instruction) = (input, output, instruction)
        }

        /// Starts the model and edits the clip; the output appears whole or not at all.
        ///
        /// - Parameters:
        ///   - model: The model folder.
        ///   - places: Where compiled models and small files are kept.
        ///   - progress: Called after every frame with the frames done.
        /// - Throws: `EditError`, `TokenizerError`, `CaptureError`, `GeometryError`, `PixelError`, `ModelFailure`,
        ///   `FrameFailure`, or `CancellationError`.
        public func run(
            model: ModelFolder, places: ModelStarter<CoreMLRuntime>.Places,
            progress: @Sendable (Int) -> Void = { _ in }
        ) async throws -> ClipReport {
            // All that can be refused is, before the model takes its time.
            let manifest = model.manifest
            let scales = try GuidanceControls(
                manifest.method.guidance, text: instruction.textGuidance, image: instruction.imageGuidance
            ).scales
            let tokenizer = try CLIPTokenizer(modelFolder: model.url, positions: manifest.tokenizer.positions)
            if instruction.prompt.allSatisfy(\.isWhitespace) { throw EditError.emptyPrompt }
            _ = try tokenizer.encode(instruction.prompt)
            // Even one that may be replaced: the clip would be gone.
            if input.standardizedFileURL == output.standardizedFileURL {
                throw CaptureError.exists(output.lastPathComponent)
            }
            let reader = try await VideoFileReader.open(input)
            let rate = reader.info.frameRate
            let recorder = try VideoRecorder(
                to: output, size: manifest.frame,
                encoding: rate > 0 ? VideoEncoding(expectedFrameRate: rate) : VideoEncoding(), isLive: false,
                replaces: replaces)
            do {
                let runtime = CoreMLRuntime()
                let starter = ModelStarter(
                    folder: model, runtime: runtime, places: places, computeUnits: computeUnits)
                let wasCompiled = await starter.isExpectedCached()
                let backend = try await starter.start()
                let loadable = await starter.loadable
                let (plan, reason) = try await computePlan(of: loadable, runtime)
                var options = Pipeline.Options()
                options.seed = seed
                options.keepsEveryFrame = true
                let pipeline = try Pipeline(
                    manifest: manifest, tokenizer: tokenizer, backend: backend, options: options)
                try await pipeline.change(instruction)
                let frames = FittedFrames(
                    reader, try FrameFitter(model: manifest.frame, fit: fit), limit: limit ?? .max)
                var done = 0
                try await pipeline.editClip {
                    try await frames.next()
                } write: { edited, time in
                    // A frame whose time does not grow has no place in a clip; the recording counts it.
                    _ = try await recorder.append(edited, at: time)
                    await pipeline.observe(QualitySample.now().thermal)
                    done += 1
                    progress(done)
                }
                let recording = try await recorder.finish()
                return ClipReport(
                    instruction: EditInstruction(
                        prompt: instruction.prompt, textGuidance: scales.text, imageGuidance: scales.image),
                    frames: recording.frames, frameSize: manifest.frame, model: manifest.digest, system: .current,
                    computeUnits: loadable.computeUnits, start: await starter.durations, wasCompiled: wasCompiled,
                    statistics: await pipeline.statistics, computePlan: plan,
                    noComputePlan: reason, explanation: await starter.explanation)
            } catch {
                // Nothing after its end, so a clip that is whole stays.
                await recorder.cancel()
                throw error
            }
        }

        /// The plan, or why there is none.
        private func computePlan(
            of model: LoadableModel, _ runtime: CoreMLRuntime
        ) async throws -> (ComputePlanReport?, String?) {
            do {
                return (try await runtime.computePlan(of: model), nil)
            } catch let error as CancellationError {
                throw error
            } catch {
                return (nil, error.localizedDescription)
            }
        }
    }

    /// Frames of a clip, brought to a model's size, with their times in nanoseconds.
    private actor FittedFrames {
        private let reader: VideoFileReader
        private var fitter: FrameFitter
        private var left: Int

        init(_ reader: VideoFileReader, _ fitter: FrameFitter, limit: Int) {
            (self.reader, self.fitter, left) = (reader, fitter, limit)
        }

        /// The next one; nil after the last one.
        func next() async throws -> (frame: PixelFrame, place: Int64)? {
            guard left > 0, let captured = try await reader.next() else { return nil }
            left -= 1
            return (try fitter.prepare(captured.frame, orientation: captured.orientation), captured.nanoseconds)
        }
    }
#endif
