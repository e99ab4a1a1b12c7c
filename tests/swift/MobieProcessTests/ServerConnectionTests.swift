#if os(macOS) || os(Linux)
    import Foundation
    import Testing

    @testable import MobieProcess

    /// What servers do that they should not, and what becomes of it.
    struct ServerConnectionTests {
        @Test func answersComeBackAndTheServerEndsWithItsInput() async throws {
            let text = try answer(2, values: ["n": MessageValue("x")])
            let server = try answering([try answer(1), text])
            #expect(try await server.connection.call("hello")["n"]?.integers == [1])
            #expect(try await server.connection.call("hello")["n"]?.text == "x")
            #expect(await server.connection.stop() == .code(0))
            #expect(!server.isThere)
            await #expect(throws: ServerError.stopped) { try await server.connection.call("hello") }
            #expect(await server.connection.stop() == .code(0))
        }

        @Test func answersMayComeInAnyOrder() async throws {
            let server = try answering(
                [[], try answer(2, "first") + answer(1, "first", values: ["n": MessageValue(7)])], call: "first")
            async let one = server.connection.call("first")
            async let two = server.connection.call("first")
            let numbers = try await [one["n"]?.integers?.first, two["n"]?.integers?.first]
            #expect(Set(numbers) == [7, 1])
            #expect(await server.connection.stop() == .code(0))
        }

        @Test func anErrorOfOneCallIsNotOneOfTheConnection() async throws {
            let failure = try answer(
                1, kind: .failure, values: ["message": MessageValue("No."), "hint": MessageValue("Ask for less.")])
            let server = try answering([failure, try answer(2)])
            let refused = ServerError.refused(call: "hello", message: "No.", hint: "Ask for less.")
            await #expect(throws: refused) { try await server.connection.call("hello") }
            #expect(refused.errorDescription == "No.")
            #expect(refused.recoverySuggestion == "Ask for less.")
            #expect(try await server.connection.call("hello")["n"]?.integers == [1])
            await server.connection.stop()
        }

        @Test func whatCannotBeSentIsAnErrorOfTheCallAlone() async throws {
            let server = try answering([try answer(2)])
            await #expect(throws: ServerError.self) { try await server.connection.call("two words") }
            #expect(try await server.connection.call("hello")["n"]?.integers == [1])
            await server.connection.stop()
        }

        @Test func answersToNobodyEndTheConnection() async throws {
            #expect(try await answering([answer(7)]).fault() == .unknownID(7))
            let other = try await answering([answer(1, "decode")]).fault()
            #expect(other == .wrongName(call: "hello", found: "decode"))
            // The second answer to the same call.
            let twice = try answering([answer(1), answer(1)])
            #expect(await twice.fault(calls: 2) == .unknownID(1))
            let called = try answering([answer(1, kind: .call)])
            guard case .message(let error)? = await called.fault() else {
                Issue.record("a call of the server was taken for an answer")
                return
            }
            #expect(error.fault == .kind)
        }

        @Test(arguments: [
            ("echo 'Traceback (most recent call last):'; cat > /dev/null", MessageError.Fault.garbage),
            ("yes", .garbage),
            (#"printf 'MOB\002\002\000\000\000aaaabbbb'; cat > /dev/null"#, .version),
            (#"printf 'MOB\001\002\000\000\000\001\000\000\000\377\377\377\377'; cat > /dev/null"#, .tooLarge),
            (#"printf 'MOB\001\002\000\000\000\001\000\000\000\001\000\000\000x'; cat > /dev/null"#, .form),
        ])
        func whatIsNoMessageEndsTheConnection(script: String, fault: MessageError.Fault) async throws {
            guard case .message(let error)? = try await ScriptedServer(script).fault() else {
                Issue.record("\(script) was not noticed")
                return
            }
            #expect(error.fault == fault)
        }

        /// Valid messages without end: they are not kept.
        @Test func aFloodOfAnswersIsStopped() async throws {
            let large = MessageValue(type: .uint8, shape: [1 << 20], bytes: [UInt8](repeating: 0, count: 1 << 20))
            let flood = try answer(9, values: ["n": large])
            #expect(try await ScriptedServer(#"while cat "$1"; do :; done"#, answers: flood).fault() == .unknownID(9))
        }

        @Test(arguments: [
            ("echo 'Error: The model is gone.' >&2; echo '  Convert it again.' >&2; exit 2", ServerExit.code(2)),
            (#"head -c 20 "$1"; echo 'Error: The model is gone.' >&2; echo 'Convert it again.' >&2; exit 3"#, .code(3)),
            ("echo 'Error: The model is gone.' >&2; printf 'Convert it again.\n\n' >&2; kill -9 $$", .signal(9)),
        ])
        func aServerThatEndsSaysHowAndWhy(script: String, status: ServerExit) async throws {
            let server = try ScriptedServer(script, answers: try answer(1))
            let said = "Error: The model is gone. Convert it again."
            let error = await server.fault()
            #expect(error == .ended(status, said: said))
            #expect(error?.errorDescription == "The server ended (\(status)): \(said)")
        }

        /// Where a process that it left behind keeps the pipes open, its end may be seen late; both are gone in the end.
        @Test func aServerThatLeavesOthersBehindIsEndedWithThem() async throws {
            let server = try ScriptedServer(
                "sleep 1000 & echo $! >&2; exit 4", timeout: .milliseconds(500), patience: .seconds(2))
            let error = await server.fault()
            switch error {
            case .timedOut?: break
            case .ended(.code(4), _)?: break
            default: Issue.record("\(String(describing: error))")
            }
        }

        @Test func aServerThatClosesItsOutputIsEnded() async throws {
            let closes = try ScriptedServer("exec >&-; cat > /dev/null", patience: .milliseconds(300))
            #expect(await closes.fault() == .closedOutput)
            let cuts = try ScriptedServer(
                #"head -c 20 "$1"; exec >&-; cat > /dev/null"#, answers: try answer(1), patience: .milliseconds(300))
            guard case .message(let error)? = await cuts.fault() else {
                Issue.record("the cut was not noticed")
                return
            }
            #expect(error.fault == .truncated)
        }

        /// It reads nothing, so that its pipe is full; it does not end when it is asked to; it has a child.
        @Test(arguments: ["sleep 1000", "trap '' TERM; while :; do sleep 1000; done"])
        func aServerThatHangsIsEnded(script: String) async throws {
            let large = MessageValue(type: .uint8, shape: [1 << 24], bytes: [UInt8](repeating: 0, count: 1 << 24))
            let server = try ScriptedServer(script, timeout: .milliseconds(300), patience: .milliseconds(300))
            #expect(await server.fault(values: ["pixels": large]) == .timedOut(call: "hello", seconds: 0.3))
        }

        /// Signals reach it, whatever the thread that started it blocks.
        @Test func aServerAtFaultMayCleanUp() async throws {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)").path
            let server = try ScriptedServer(
                "trap 'rm \(file); exit 7' TERM; touch \(file); echo garbage; while :; do sleep 0.01; done")
            guard case .message? = await server.fault() else {
                Issue.record("the garbage was not noticed")
                return
            }
            #expect(await server.connection.stop() == .code(7))
            #expect(!FileManager.default.fileExists(atPath: file))
        }

        @Test func stoppingAServerThatHangsEndsItToo() async throws {
            let server = try ScriptedServer("trap '' TERM; while :; do sleep 1000; done", patience: .milliseconds(200))
            #expect(await server.connection.stop() == .signal(9))
            #expect(!server.isThere)
        }

        /// Both pipes and standard error carry more than they hold.
        @Test func fullPipesStopNobody() async throws {
            let large = MessageValue(type: .uint8, shape: [1 << 24], bytes: [UInt8](repeating: 7, count: 1 << 24))
            let server = try ScriptedServer("yes error | head -c 1000000 >&2; cat")
            let connection = server.connection
            let calls = (0..<2).map { _ in Task { try await connection.call("echo", ["a": large]) } }
            for call in calls {
                // What comes back are the calls themselves.
                await #expect {
                    _ = try await call.value
                } throws: { error in
                    guard case .message(let fault)? = error as? ServerError else { return false }
                    return fault.fault == .kind
                }
            }
            await server.connection.stop()
            #expect(!server.isThere)
        }

        @Test func cancelledCallsReturnAndTheirAnswersAreDropped() async throws {
            let server = try answering([[], try answer(1) + answer(2)])
            let connection = server.connection
            let first = Task { try await connection.call("hello") }
            try await connection.waitForACall()
            first.cancel()
            await #expect(throws: CancellationError.self) { try await first.value }
            #expect(try await connection.call("hello")["n"]?.integers == [1])
            let before = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await connection.call("hello")
            }
            await #expect(throws: CancellationError.self) { try await before.value }
            await connection.stop()
        }

        @Test func callsThatWaitThrowWhenItIsStopped() async throws {
            let server = try ScriptedServer("cat > /dev/null")
            let connection = server.connection
            let waiting = Task { try await connection.call("hello") }
            try await connection.waitForACall()
            await connection.stop()
            await #expect(throws: ServerError.stopped) { try await waiting.value }
        }

        @Test func workWithAServerEndsWithoutIt() async throws {
            let command = ServerCommand(program: URL(fileURLWithPath: "/bin/sh"), arguments: ["-c", "cat > /dev/null"])
            let pid = try await ServerConnection.with(command) { $0.processIdentifier }
            #expect(kill(pid, 0) != 0)
            let task = Task {
                try await ServerConnection.with(command) { try await $0.call("hello") }
            }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }

        @Test func aProgramThatIsNotThereCannotBeStarted() throws {
            let nowhere = ServerCommand(program: URL(fileURLWithPath: "/nonexistent/mobie"))
            #expect { try ServerConnection(nowhere) } throws: { error in
                guard case .cannotStart("/nonexistent/mobie", _)? = error as? ServerError else { return false }
                return true
            }
            let model = URL(fileURLWithPath: "/model")
            #expect(throws: ServerError.self) { try ServerCommand.serve(model: model, mobie: "mobie-not-installed") }
            #expect(throws: ServerError.self) { try ServerCommand.serve(model: model, mobie: "/nonexistent/mobie") }
            let found = try ServerCommand.serve(model: model, mobie: "sh")
            #expect(found.program.lastPathComponent == "sh")
            #expect(found.arguments == ["serve", "/model"])
        }

        @Test func descriptorsAreGivenBack() async throws {
            func open() -> Int { (0..<4096).filter { fcntl($0, F_GETFD) >= 0 }.count }
            let before = open()
            for _ in 0..<40 {
                let server = try ScriptedServer("cat > /dev/null")
                await server.connection.stop()
            }
            // Three each would have stayed; other tests have some meanwhile.
            #expect(open() < before + 100)
        }

        @Test func onlyTheLastLinesOfErrorsAreShown() {
            let said = "warning\nError: \u{1b}[31mred\u{1b}[0m\r\n\n  hint \n"
            #expect(ServerConnection.lastLines(Array(said.utf8)) == "Error: [31mred[0m hint")
            #expect(ServerConnection.lastLines([]) == "")
        }
    }
#endif
