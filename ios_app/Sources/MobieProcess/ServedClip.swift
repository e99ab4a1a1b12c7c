#if os(macOS) || os(Linux)
    import MobieCore

    /// A frame of a clip.
    public struct ClipFrame: Sendable {
        /// Which frame of its clip it is, and when it is shown.
        public struct Place: Sendable, Equatable {
            /// From 0.
            public let index: Int64
            /// When it is shown, in seconds: numerator and denominator.
            public let time: [Int64]
            /// For how long, in seconds: numerator and denominator.
            public let duration: [Int64]
        }

        /// Upright RGB.
        public let pixels: InterleavedImage
        /// Of the frame.
        public let place: Place
    }

    /// A clip that a server reads, and the clip that it writes of it; it has one at a time.
    public struct ServedClip: Sendable {
        /// Of its frames.
        public let size: FrameSize
        /// Number of its frames, where the file says.
        public let frames: Int64?

        private let connection: ServerConnection

        /// Opens a clip.
        ///
        /// - Parameter limit: Frames read at most.
        /// - Throws: `ServerError`; `ServerError.refused` where the server cannot read it.
        public static func open(
            _ path: String, limit: Int64? = nil, on connection: ServerConnection
        ) async throws -> ServedClip {
            var values = ["path": MessageValue(path)]
            if let limit { values["limit"] = MessageValue(limit) }
            let answer = try await connection.call("clip.open", values)
            guard let size = answer["size"]?.integers, size.count == 2,
                let width = Int(exactly: size[0]), let height = Int(exactly: size[1]), width > 0, height > 0
            else {
                throw ServerError.badAnswer(call: "clip.open", problem: "it has no size")
            }
            return ServedClip(
                size: FrameSize(width: width, height: height), frames: answer["frames"]?.integers?.first,
                connection: connection)
        }

        /// The next frame; nil after the last one.
        ///
        /// - Throws: `ServerError`.
        public func next() async throws -> ClipFrame? {
            let answer = try await connection.call("clip.read")
            if answer.isEmpty { return nil }
            guard let pixels = answer["pixels"], let index = answer["index"]?.integers?.first,
                let time = answer["pts"]?.integers, let duration = answer["duration"]?.integers
            else {
                throw ServerError.badAnswer(call: "clip.read", problem: "it is no frame")
            }
            let place = ClipFrame.Place(index: index, time: time, duration: duration)
            return ClipFrame(pixels: try pixels.image(call: "clip.read"), place: place)
        }

        /// Starts the output, with the clip's time base and audio.
        ///
        /// - Parameter replaces: A file that exists is replaced.
        /// - Throws: `ServerError`.
        public func create(_ path: String, replaces: Bool = false) async throws {
            let values = ["path": MessageValue(path), "force": MessageValue(Int64(replaces ? 1 : 0))]
            _ = try await connection.call("clip.create", values)
        }

        /// Adds a frame to the output.
        ///
        /// - Parameters:
        ///   - pixels: RGB.
        ///   - place: Of the frame that it was made of.
        /// - Throws: `ServerError`.
        public func write(_ pixels: InterleavedImage, at place: ClipFrame.Place) async throws {
            let values = [
                "pixels": MessageValue(pixels), "index": MessageValue(place.index),
                "pts": MessageValue(place.time), "duration": MessageValue(place.duration),
            ]
            _ = try await connection.call("clip.write", values)
        }

        /// Completes the output, which appears now, and closes the clip.
        ///
        /// - Returns: What the user should know.
        /// - Throws: `ServerError`.
        public func finish() async throws -> [String] {
            let notes = try await connection.call("clip.finish")["notes"]?.text ?? ""
            return notes.split(separator: "\n").map(String.init)
        }
    }
#endif
