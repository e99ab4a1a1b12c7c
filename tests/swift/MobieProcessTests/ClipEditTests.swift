#if os(macOS) || os(Linux)
    import Foundation
    import MobieCore
    import Testing

    @testable import MobieProcess

    /// A clip edited here, with components that run in Python, is the clip that `mobie edit` makes, to the pixel.
    @Suite(.enabled(if: Python.isInstalled, "no Python environment: run make install"))
    struct ClipEditTests {
        @Test func theClipIsThatOfPython() async throws {
            let reference = try await Reference.shared.value
            // Each needs a server of its own, which takes seconds to start.
            for edit in Repository.isSlow ? reference.edits : Array(reference.edits.prefix(1)) {
                let model = try ModelFolder.open(reference.file(edit.model))
                let connection = try reference.serve(edit.model)
                let output = reference.file("swift-\(edit.name).mp4")
                var work = ClipEdit(
                    input: reference.file("clip.mp4").path, output: output.path,
                    instruction: EditInstruction(
                        prompt: edit.prompt, textGuidance: edit.guidance, imageGuidance: edit.guidance))
                work.seed = edit.seed
                work.fit = try #require(FrameFit(rawValue: edit.fit))
                work.limit = edit.limit
                let report = try await work.run(model: model, connection: connection)
                #expect(report.frames == edit.frames)
                #expect(report.frameDigests == edit.digests, "\(edit.name): other pixels than mobie edit's")
                #expect(Set(report.frameDigests).count == edit.frames)
                #expect(report.statistics.delivered == edit.frames)
                // Times, audio and every byte of the file too.
                let files = try [output, reference.file(edit.output)].map { try Data(contentsOf: $0) }
                #expect(files[0] == files[1], "\(edit.name): another file than mobie edit's")
                if edit.name == reference.edits[0].name { try await refuse(reference, model, connection) }
                #expect(await connection.stop() == .code(0))
            }
        }

        /// What Python or this side refuses is said, the server goes on, and nothing is left of the output.
        private func refuse(_ reference: Reference, _ model: ModelFolder, _ connection: ServerConnection) async throws {
            let present = reference.file("clip.mp4").path
            let absent = reference.file("refused.mp4").path
            let long = String(repeating: "snow ", count: 90)
            for (input, output, prompt) in [
                (absent, absent, "make it snow"), (present, present, "make it snow"),
                (present, reference.file("refused.webm").path, "make it snow"), (present, absent, long),
            ] {
                let work = ClipEdit(input: input, output: output, instruction: EditInstruction(prompt: prompt))
                let error = await #expect(throws: (any Error).self) {
                    try await work.run(model: model, connection: connection)
                }
                #expect((error as? any LocalizedError)?.recoverySuggestion?.isEmpty == false)
                _ = try await connection.call("clip.discard")
            }
            await #expect(throws: ServerError.self) { try await connection.call("Denoiser") }
            await #expect(throws: ServerError.self) { try await connection.call("nonsense") }
            let others = reference.edits.map(\.model).filter { $0 != model.url.lastPathComponent }
            for other in others {
                let folder = try ModelFolder.open(reference.file(other))
                await #expect(throws: ServerError.otherModel) {
                    try await ProcessBackend(model: folder, connection: connection)
                }
            }
            // Stopped in the middle of a clip.
            let clip = try await ServedClip.open(present, on: connection)
            try await clip.create(absent)
            let frame = try #require(try await clip.next())
            try await clip.write(frame.pixels, at: frame.place)
            await connection.stop()
            let left = try FileManager.default.contentsOfDirectory(atPath: reference.folder.url.path)
            #expect(left.filter { $0.contains("refused") } == [])
        }

        @Test func aServerWithoutAModelSaysSo() async throws {
            let folder = try TemporaryFolder()
            try Data("{}".utf8).write(to: folder.url.appendingPathComponent("mobie.json"))
            let command = try ServerCommand.serve(
                model: folder.url, mobie: Python.mobie, environment: Python.environment)
            let error = await #expect(throws: ServerError.self) {
                try await ServerConnection.with(command) { try await $0.call("hello") }
            }
            guard case .ended(.code(2), let said)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(said.contains("mobie.json"))
        }
    }

    /// The Python environment of the repository.
    enum Python {
        static let folder = Repository.root.appendingPathComponent(".venv/bin")
        static let mobie = folder.appendingPathComponent("mobie").path
        static let isInstalled = FileManager.default.isExecutableFile(atPath: mobie)
        /// The number of threads decides the last bits of sums: it must be the same on both sides.
        static let environment = [
            "OMP_NUM_THREADS": "1", "PYTHONPATH": Repository.root.appendingPathComponent("scripts").path,
        ]
    }

    /// Models, a clip and what `mobie edit` makes of it: tests/python/helpers/served_models.py writes them.
    struct Reference: Sendable {
        struct Edit: Sendable, Decodable {
            let name: String
            let model: String
            let output: String
            let prompt: String
            let fit: String
            let seed: UInt64
            let limit: Int64?
            /// Both scales; nil takes the model's own.
            let guidance: Double?
            let frames: Int
            let digests: [String]
        }

        static let shared = Task { try await make() }

        let edits: [Edit]
        let folder: TemporaryFolder

        func file(_ name: String) -> URL { folder.url.appendingPathComponent(name) }

        func serve(_ model: String) throws -> ServerConnection {
            let command = try ServerCommand.serve(
                model: file(model), mobie: Python.mobie, environment: Python.environment)
            return try ServerConnection(command, timeout: .seconds(600))
        }

        private static func make() async throws -> Reference {
            let folder = try TemporaryFolder()
            let script = Repository.root.appendingPathComponent("tests/python/helpers/served_models.py")
            let command = ServerCommand(
                program: Python.folder.appendingPathComponent("python"), arguments: [script.path, folder.url.path],
                environment: Python.environment)
            // It answers nothing: what a call throws says how it ended, and why.
            let end = await #expect(throws: ServerError.self) {
                try await ServerConnection.with(command, timeout: .seconds(1200)) { try await $0.call("end") }
            }
            guard case .ended(.code(0), _)? = end else { throw end ?? .stopped }
            let edits = try JSONDecoder().decode(
                [Edit].self, from: Data(contentsOf: folder.url.appendingPathComponent("edits.json")))
            return Reference(edits: edits, folder: folder)
        }
    }
#endif
