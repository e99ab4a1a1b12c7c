#if os(macOS) || os(Linux)
    import Foundation
    import MobieCore
    import MobieProcess

    /// `--process`: edits a clip with components that run in `mobie serve`, and says how long every stage took.
    enum ProcessEdit {
        static let usage = """
              mobie-bench --process --model FOLDER --clip IN --out OUT --prompt TEXT [--statistics FILE.json]
                          [--text-guidance S] [--image-guidance S] [--frames N] [--seed N]
                          [--fit cover|contain|stretch] [--server MOBIE] [--timeout SECONDS] [--force]
            """

        private struct Request: Sendable {
            let work: ClipEdit
            let model: ModelFolder
            let command: ServerCommand
            let timeout: Duration
            let statistics: URL?
        }

        static func run(_ arguments: inout Arguments) async throws {
            let request = try read(&arguments)
            // The server ends and leaves nothing behind, whatever stops this program.
            let report = try await Output.result {
                try await ServerConnection.with(request.command, timeout: request.timeout) { connection in
                    try await request.work.run(model: request.model, connection: connection, progress: ProcessEdit.show)
                }
            }
            try Output.write(report, to: request.statistics)
            for note in report.notes { printError("Note: \(note)") }
        }

        private static func read(_ arguments: inout Arguments) throws -> Request {
            let model = try arguments.required("--model")
            var work = ClipEdit(
                input: try arguments.required("--clip"), output: try arguments.required("--out"),
                instruction: try arguments.takeInstruction())
            let common = try arguments.takeCommon()
            (work.seed, work.fit, work.replaces) = (common.seed, common.fit, common.replaces)
            work.limit = common.frames.map(Int64.init)
            let timeout = try arguments.takeInteger("--timeout", in: 1...86400) ?? 120
            let server = try arguments.takeValue("--server") ?? "mobie"
            try arguments.checkEmpty()
            let folder = try ModelFolder.open(URL(fileURLWithPath: model))
            return Request(
                work: work, model: folder, command: try .serve(model: folder.url, mobie: server),
                timeout: .seconds(timeout), statistics: common.statistics)
        }

        /// One line every ten frames, so that logs show that work goes on.
        private static let show: @Sendable (Int, Int64?) -> Void = { done, total in
            guard done % 10 == 0 else { return }
            printError("\(done)\(total.map { " of \($0)" } ?? "") frames")
        }
    }
#endif
