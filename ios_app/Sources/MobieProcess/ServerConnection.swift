#if os(macOS) || os(Linux)
    import Dispatch
    import Foundation

    /// A server that was started, and the calls that wait for its answers.
    ///
    /// Its pipes are written and read on threads of their own, so that full ones stop nobody, and answers come in any
    /// order. The first thing that goes wrong with the connection (not with a call) ends it: every call that waits and
    /// every later one throws what it was, and the server is ended. Whoever starts one stops it: after `stop()` it is
    /// gone, whatever it did.
    public actor ServerConnection {
        private struct Waiting {
            let name: String
            let continuation: CheckedContinuation<[String: MessageValue], any Error>
            let alarm: Task<Void, Never>
        }

        private enum Arrival: Sendable {
            case message(Message)
            case fault(MessageError)
        }

        /// Messages that were read and not yet looked at, at most.
        private static let maximumUnread = 16
        /// Bytes kept of what it writes to standard error.
        private static let errorBytes = 4096

        /// Of the process.
        public nonisolated let processIdentifier: Int32

        private let process: Process
        private let exit: ExitWatch
        private let writer: PipeWriter
        private let timeout: Duration
        private let patience: Duration
        private var waiting: [UInt32: Waiting] = [:]
        private var abandoned: Set<UInt32> = []
        private var calls: UInt32 = 0
        private var failure: ServerError?
        private var truncation: MessageError?
        private var ending: Task<ServerExit?, Never>?
        private var said: [UInt8] = []
        private var openPipes = 2

        /// Starts a server.
        ///
        /// - Parameters:
        ///   - command: The program.
        ///   - timeout: For the answer to a call, if the call has none of its own.
        ///   - patience: How long a server that is asked to end may take before it is ended the hard way.
        /// - Throws: `ServerError.cannotStart`.
        public init(
            _ command: ServerCommand, timeout: Duration = .seconds(120), patience: Duration = .seconds(5)
        ) throws(ServerError) {
            let child = try ChildProcess.launch(command)
            process = child.process
            processIdentifier = child.process.processIdentifier
            exit = child.exit
            writer = PipeWriter(child.input)
            (self.timeout, self.patience) = (timeout, patience)
            let room = DispatchSemaphore(value: Self.maximumUnread)
            let arrivals = Self.read(child.output, room)
            let errors = Self.readErrors(child.errors)
            Task {
                for await arrival in arrivals {
                    room.signal()
                    await self.arrived(arrival)
                }
                await self.pipeEnded()
                await self.outputEnded()
            }
            Task {
                for await tail in errors { await self.wrote(tail) }
                await self.pipeEnded()
            }
            Task { await self.watchExit() }
        }

        /// Starts a server, works with it, and stops it, whether the work is done, fails or is cancelled.
        ///
        /// - Throws: `ServerError.cannotStart`, or what the work throws.
        public static func with<Result: Sendable>(
            _ command: ServerCommand, timeout: Duration = .seconds(120),
            isolation: isolated (any Actor)? = #isolation, work: (ServerConnection) async throws -> Result
        ) async throws -> Result {
            let connection = try ServerConnection(command, timeout: timeout)
            do {
                let result = try await work(connection)
                await connection.stop()
                return result
            } catch {
                await connection.stop()
                throw error
            }
        }

        /// Makes a call and waits for its answer.
        ///
        /// - Parameters:
        ///   - name: What is called.
        ///   - values: What it is given.
        ///   - timeout: If another than the connection's.
        /// - Throws: `ServerError`, or `CancellationError`: the answer of a cancelled call is dropped when it comes.
        public func call(
            _ name: String, _ values: [String: MessageValue] = [:], timeout: Duration? = nil
        ) async throws -> [String: MessageValue] {
            try Task.checkCancellation()
            if let failure { throw failure }
            calls += 1
            let id = calls
            let content: [UInt8]
            do {
                content = try Message(kind: .call, id: id, name: name, values: values).encoded()
            } catch {
                throw ServerError.message(error)
            }
            let limit = timeout ?? self.timeout
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let alarm = Task {
                        guard (try? await Task.sleep(for: limit)) != nil else { return }
                        self.expired(id, limit)
                    }
                    waiting[id] = Waiting(name: name, continuation: continuation, alarm: alarm)
                    writer.write(content)
                }
            } onCancel: {
                Task { await self.abandon(id) }
            }
        }

        /// Closes the server's input, so that it ends, and waits; a server that does not is ended the hard way.
        ///
        /// - Returns: How it ended; nil where even the system could not end it.
        @discardableResult
        public func stop() async -> ServerExit? {
            fail(.stopped)
            return await ending?.value
        }

        /// Calls that have no answer yet.
        var waitingCalls: Int { waiting.count }

        private func arrived(_ arrival: Arrival) {
            // What comes after the first fault says nothing.
            if failure != nil { return }
            switch arrival {
            // Why it ended early is said by how it ended.
            case .fault(let error) where error.fault == .truncated: truncation = error
            case .fault(let error): fail(.message(error))
            case .message(let message): answer(message)
            }
        }

        private func answer(_ message: Message) {
            if abandoned.remove(message.id) != nil { return }
            guard let call = waiting[message.id] else { return fail(.unknownID(message.id)) }
            guard message.name == call.name else { return fail(.wrongName(call: call.name, found: message.name)) }
            switch message.kind {
            case .result: settle(message.id, .success(message.values))
            case .failure:
                let text = message.values["message"]?.text ?? "\(message.name) failed."
                let hint = message.values["hint"]?.text ?? ""
                settle(message.id, .failure(ServerError.refused(call: message.name, message: text, hint: hint)))
            case .call:
                fail(.message(MessageError(fault: .kind, problem: "it is a call, and a server sends answers")))
            }
        }

        private func settle(_ id: UInt32, _ result: Result<[String: MessageValue], any Error>) {
            guard let call = waiting.removeValue(forKey: id) else { return }
            call.alarm.cancel()
            call.continuation.resume(with: result)
        }

        private func abandon(_ id: UInt32) {
            guard waiting[id] != nil else { return }
            abandoned.insert(id)
            settle(id, .failure(CancellationError()))
        }

        private func expired(_ id: UInt32, _ limit: Duration) {
            guard let call = waiting[id] else { return }
            let (seconds, attoseconds) = limit.components
            fail(.timedOut(call: call.name, seconds: Double(seconds) + Double(attoseconds) / 1e18))
        }

        private func fail(_ error: ServerError) {
            if failure != nil { return }
            failure = error
            for id in waiting.keys { settle(id, .failure(error)) }
            abandoned = []
            writer.close()
            // One that was asked to stop may finish what it does; one that is at fault may only clean up.
            ending = Task { await self.end(isPolite: error == .stopped) }
        }

        private func end(isPolite: Bool) async -> ServerExit? {
            if isPolite, let status = await exit.wait(atMost: patience) { return status }
            await kill(SIGTERM)
            if let status = await exit.wait(atMost: patience) { return status }
            await kill(SIGKILL)
            return await exit.wait(atMost: patience)
        }

        /// Sends a signal to the process and to what it started, where it leads a group of its own.
        private func kill(_ signal: Int32) async {
            guard await exit.status == nil else { return }
            if Foundation.kill(-processIdentifier, signal) != 0 { _ = Foundation.kill(processIdentifier, signal) }
        }

        private func watchExit() async {
            guard let status = await exit.wait() else { return }
            // What it wrote before is read first; a process that it left behind may keep its pipes open.
            let deadline = ContinuousClock.now + .seconds(1)
            while openPipes > 0 && ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(5)) }
            fail(.ended(status, said: Self.lastLines(said)))
        }

        private func outputEnded() async {
            if failure == nil, await exit.wait(atMost: patience) == nil {
                fail(truncation.map(ServerError.message) ?? .closedOutput)
            }
        }

        private func pipeEnded() {
            openPipes -= 1
        }

        private func wrote(_ tail: [UInt8]) {
            said = tail
        }

        /// Messages that arrive, or the fault that ends them.
        private static func read(_ descriptor: Int32, _ room: DispatchSemaphore) -> AsyncStream<Arrival> {
            let (stream, continuation) = AsyncStream.makeStream(of: Arrival.self)
            readPipe(descriptor, MessageReader()) { reader, piece in
                reader.append(piece)
                do throws(MessageError) {
                    while let message = try reader.next() {
                        room.wait()
                        continuation.yield(.message(message))
                    }
                    if !piece.isEmpty { return true }
                    try reader.finish()
                } catch {
                    room.wait()
                    continuation.yield(.fault(error))
                }
                continuation.finish()
                return false
            }
            return stream
        }

        /// The end of what was written to standard error so far, again and again.
        private static func readErrors(_ descriptor: Int32) -> AsyncStream<[UInt8]> {
            let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingNewest(1))
            readPipe(descriptor, [UInt8]()) { tail, piece in
                tail = Array((tail + piece).suffix(errorBytes))
                continuation.yield(tail)
                if piece.isEmpty { continuation.finish() }
                return true
            }
            return stream
        }

        /// The last two lines that say something, as one.
        static func lastLines(_ bytes: [UInt8]) -> String {
            let printable = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map { line in
                String(line.filter { !$0.isASCII || ($0.asciiValue ?? 0) >= 32 }).trimmingCharacters(in: .whitespaces)
            }
            return printable.filter { !$0.isEmpty }.suffix(2).joined(separator: " ")
        }
    }
#endif
