#if os(macOS) || os(Linux)
    import Foundation
    import Testing

    @testable import MobieProcess

    /// A shell script as a server: `"$1"` in it names a file of answers that were written beforehand.
    struct ScriptedServer {
        let connection: ServerConnection
        private let folder: TemporaryFolder

        init(
            _ script: String, answers: [UInt8] = [], timeout: Duration = .seconds(120),
            patience: Duration = .seconds(60)
        ) throws {
            folder = try TemporaryFolder()
            let file = folder.url.appendingPathComponent("answers")
            try Data(answers).write(to: file)
            let command = ServerCommand(
                program: URL(fileURLWithPath: "/bin/sh"), arguments: ["-c", script, "sh", file.path])
            connection = try ServerConnection(command, timeout: timeout, patience: patience)
        }

        /// Whether the process is there, if only as a zombie.
        var isThere: Bool { kill(connection.processIdentifier, 0) == 0 }

        /// Makes calls, stops the server and gives what was thrown: typed, with advice, and nothing is left running.
        func fault(calls: Int = 1, values: [String: MessageValue] = [:]) async -> ServerError? {
            var thrown: (any Error)?
            do {
                for _ in 0..<calls { _ = try await connection.call("hello", values) }
            } catch {
                thrown = error
            }
            #expect(await connection.stop() != nil)
            #expect(!isThere)
            let typed = thrown as? ServerError
            #expect((typed == nil) == (thrown == nil))
            #expect(typed?.errorDescription?.isEmpty != true)
            #expect(typed?.recoverySuggestion?.isEmpty != true)
            return typed
        }
    }

    extension ServerConnection {
        /// Returns when a call waits for its answer.
        func waitForACall() async throws {
            while waitingCalls == 0 { try await Task.sleep(for: .milliseconds(2)) }
        }
    }

    /// A script that takes the bytes of a call without values, gives the first answers, and so on for all of them.
    func answering(_ answers: [[UInt8]], call name: String = "hello") throws -> ScriptedServer {
        let size = try Message(kind: .call, id: 1, name: name).encoded().count
        var (script, start) = ("", 1)
        for one in answers {
            // Nothing else takes exactly so many bytes from a pipe on every system.
            script += "dd bs=1 count=\(size) of=/dev/null 2>/dev/null; "
            script += "tail -c +\(start) \"$1\" | head -c \(one.count); "
            start += one.count
        }
        return try ScriptedServer("\(script) cat > /dev/null", answers: answers.flatMap { $0 })
    }

    /// The bytes of an answer.
    func answer(
        _ id: UInt32, _ name: String = "hello", kind: Message.Kind = .result,
        values: [String: MessageValue] = ["n": MessageValue(1)]
    ) throws -> [UInt8] {
        try Message(kind: kind, id: id, name: name, values: values).encoded()
    }
#endif
