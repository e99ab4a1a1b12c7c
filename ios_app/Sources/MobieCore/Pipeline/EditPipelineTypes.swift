extension EditPipeline {
    /// A frame that was edited.
    public struct EditedFrame: Sendable {
        /// Its number, as submitted.
        public let number: Int
        /// The result, of the model's size.
        public let frame: Backend.Frame
        /// When it was submitted, in nanoseconds of the pipeline's clock.
        public let arrival: Int64
        /// What was asked for when the Denoiser started on it.
        public let instruction: EditInstruction
    }

    /// What became of a frame that ran.
    public enum Outcome: Sendable {
        /// It has its result.
        case edited(EditedFrame)
        /// A stage failed on it.
        case failed(FrameFailure)
    }

    /// How a session works.
    public struct Options: Sendable {
        /// Of the noise.
        public var seed: UInt64 = 0
        /// Fresh noise for every frame instead of one for all; it flickers.
        public var freshNoise = false
        /// See `FrameGate`.
        public var similarityThreshold: Int?
        /// See `FrameGate`.
        public var maximumSkips = 15
        /// For clips: outcomes wait for the reader, and whoever uses `submitInTurn` waits with them. Otherwise a slow
        /// reader gets the newest outcome alone.
        public var keepsEveryFrame = false

        /// The usual values.
        public init() {}
    }

    /// Edited frames and failures in order. One reader: what it takes is gone.
    public struct Outcomes: AsyncSequence, Sendable {
        let stream: AsyncStream<Outcome>
        let didRead: @Sendable () async -> Void

        /// Reads outcomes one by one.
        public struct AsyncIterator: AsyncIteratorProtocol {
            var base: AsyncStream<Outcome>.AsyncIterator
            let didRead: @Sendable () async -> Void

            /// The next outcome; nil after the last, and where the reading task is cancelled, which stops the pipeline.
            public mutating func next() async -> Outcome? {
                guard let outcome = await base.next() else { return nil }
                await didRead()
                return outcome
            }
        }

        public func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(base: stream.makeAsyncIterator(), didRead: didRead)
        }
    }

    /// Edited frames in order, without those that failed: the statistics count them.
    public struct EditedFrames: AsyncSequence, Sendable {
        let outcomes: Outcomes

        /// Reads edited frames one by one.
        public struct AsyncIterator: AsyncIteratorProtocol {
            var base: Outcomes.AsyncIterator

            /// The next edited frame; nil after the last, and where the reading task is cancelled, which stops the
            /// pipeline.
            public mutating func next() async -> EditedFrame? {
                while let outcome = await base.next() {
                    if case .edited(let edited) = outcome { return edited }
                }
                return nil
            }
        }

        public func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(base: outcomes.makeAsyncIterator())
        }
    }
}
