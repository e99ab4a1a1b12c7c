#if os(macOS) || os(Linux)
    import Foundation

    /// A running program and the ends of its three pipes.
    struct ChildProcess {
        /// Launches are one after the other, so that no child gets the other end of another one's pipes.
        private static let launching = NSLock()

        let process: Process
        let exit: ExitWatch
        /// Owned by whoever takes them.
        let (input, output, errors): (Int32, Int32, Int32)

        /// Starts a program.
        ///
        /// From the first launch on, this process ignores SIGPIPE: a server that ended is told by its pipes' errors.
        ///
        /// - Throws: `ServerError.cannotStart`.
        static func launch(_ command: ServerCommand) throws(ServerError) -> ChildProcess {
            launching.lock()
            defer { launching.unlock() }
            signal(SIGPIPE, SIG_IGN)
            let process = Process()
            process.executableURL = command.program
            process.arguments = command.arguments
            process.environment = ProcessInfo.processInfo.environment.merging(command.environment) { $1 }
            let (input, output, errors) = (Pipe(), Pipe(), Pipe())
            process.standardInput = input
            process.standardOutput = output
            process.standardError = errors
            let exit = ExitWatch()
            process.terminationHandler = { ended in
                let status = ended.terminationStatus
                let how: ServerExit = ended.terminationReason == .exit ? .code(status) : .signal(status)
                Task { await exit.ended(how) }
            }
            let handles = [input.fileHandleForWriting, output.fileHandleForReading, errors.fileHandleForReading]
            // Pipes close their own descriptors when they go: copies that are not inherited are kept.
            let ends = handles.map { fcntl($0.fileDescriptor, F_DUPFD_CLOEXEC, 0) }
            guard ends.allSatisfy({ $0 >= 0 }) else {
                for end in ends where end >= 0 { close(end) }
                throw .cannotStart(program: command.program.path, reason: "too many files are open")
            }
            for handle in handles { _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC) }
            do {
                try withSignalsUnblocked { try process.run() }
            } catch {
                for end in ends { close(end) }
                throw .cannotStart(program: command.program.path, reason: error.localizedDescription)
            }
            for handle in handles { try? handle.close() }
            return ChildProcess(process: process, exit: exit, input: ends[0], output: ends[1], errors: ends[2])
        }

        /// A child inherits the signals that its parent's thread blocks, and threads of a pool block all of them.
        private static func withSignalsUnblocked(_ body: () throws -> Void) rethrows {
            var (none, before) = (sigset_t(), sigset_t())
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, &before)
            defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
            try body()
        }
    }
#endif
