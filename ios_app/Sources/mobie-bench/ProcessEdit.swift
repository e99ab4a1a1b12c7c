#if os(macOS) || os(Linux)
    import Dispatch
    import Foundation
    import MobieCore
    import MobieProcess

    /// `--process`: edits a clip with components that run in `mobie serve`, and says how long every stage took.
    enum ProcessEdit {
        static let usage = """
              mobie-bench --process --model FOLDER --clip IN --out OUT --prompt TEXT [--statistics FILE.json]
                          [--frames N] [--seed N] [--fit cover|contain|stretch] [--server MOBIE] [--timeout SECONDS]
                          [--force]
            """

        private struct Request {
            var work: ClipEdit
            let model: ModelFolder
            let command: ServerCommand
            let timeout: Duration
            let statistics: URL?
        }

        static func run(_ arguments: inout Arguments) async throws {
            let request = try read(&arguments)
            let edit = Task {
                try await ServerConnection.with(request.command, timeout: request.timeout) { connection in
                    try await request.work.run(model: request.model, connection: connection, progress: ProcessEdit.show)
                }
            }
            // The server ends and leaves nothing behind, whatever stops this program.
            let signals = [SIGINT, SIGTERM, SIGHUP].map { number in
                // Not ignored: the server would inherit that.
                signal(number) { _ in }
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { edit.cancel() }
                source.resume()
                return source
            }
            defer { for source in signals { source.cancel() } }
            let report: ClipEdit.Report
            do {
                report = try await edit.value
            } catch is CancellationError {
                throw Interrupted()
            }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            let json = try encoder.encode(report)
            if let file = request.statistics {
                try json.write(to: file, options: .atomic)
            } else {
                print(String(decoding: json, as: UTF8.self))
            }
            for note in report.notes { printError("Note: \(note)") }
        }

        private static func read(_ arguments: inout Arguments) throws -> Request {
            let model = try arguments.required("--model")
            var work = ClipEdit(
                input: try arguments.required("--clip"), output: try arguments.required("--out"),
                instruction: EditInstruction(prompt: try arguments.required("--prompt")))
            work.limit = try arguments.takeInteger("--frames", in: 1...Int(Int32.max)).map(Int64.init)
            if let text = try arguments.takeValue("--seed") {
                guard let seed = UInt64(text) else {
                    throw UsageError("--seed takes a whole number from 0 to 2^64 - 1.")
                }
                work.seed = seed
            }
            if let text = try arguments.takeValue("--fit") {
                guard let fit = FrameFit(rawValue: text) else {
                    throw UsageError("--fit takes one of \(FrameFit.allCases.map(\.rawValue).joined(separator: ", ")).")
                }
                work.fit = fit
            }
            work.replaces = arguments.takeFlag("--force")
            let statistics = try arguments.takeValue("--statistics").map { URL(fileURLWithPath: $0) }
            if let statistics { try check(statistics, replaces: work.replaces) }
            let timeout = try arguments.takeInteger("--timeout", in: 1...86400) ?? 120
            let server = try arguments.takeValue("--server") ?? "mobie"
            try arguments.checkEmpty()
            let folder = try ModelFolder.open(URL(fileURLWithPath: model))
            return Request(
                work: work, model: folder, command: try .serve(model: folder.url, mobie: server),
                timeout: .seconds(timeout), statistics: statistics)
        }

        /// Refuses, before any work, a file that cannot be written after it.
        private static func check(_ file: URL, replaces: Bool) throws(UsageError) {
            let folder = file.deletingLastPathComponent().path
            guard FileManager.default.isWritableFile(atPath: folder) else {
                throw UsageError("\(folder) is no folder that can be written to.")
            }
            if !replaces, FileManager.default.fileExists(atPath: file.path) {
                throw UsageError("\(file.path) exists already: choose another file or pass --force.")
            }
        }

        /// One line every ten frames, so that logs show that work goes on.
        private static let show: @Sendable (Int, Int64?) -> Void = { done, total in
            guard done % 10 == 0 else { return }
            printError("\(done)\(total.map { " of \($0)" } ?? "") frames")
        }
    }

    extension Arguments {
        /// What follows a name that must be there.
        fileprivate mutating func required(_ name: String) throws(UsageError) -> String {
            guard let value = try takeValue(name) else { throw UsageError("\(name) is missing.") }
            return value
        }
    }
#endif
