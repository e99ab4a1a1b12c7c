import Foundation

/// The server, or an answer of it, is not what it should be.
public enum ServerError: LocalizedError, Sendable, Equatable {
    /// The program is not there or the system refused to start it.
    case cannotStart(program: String, reason: String)
    /// It ended while it was needed; `said` is the end of what it wrote to standard error.
    case ended(ServerExit, said: String)
    /// It closed its output, and goes on.
    case closedOutput
    /// It gave no answer in time, and was ended.
    case timedOut(call: String, seconds: Double)
    /// What it wrote is no message, or what it was to be told is none.
    case message(MessageError)
    /// It answered a call that nobody made.
    case unknownID(UInt32)
    /// It answered one call with the name of another.
    case wrongName(call: String, found: String)
    /// It says that it cannot do what was asked.
    case refused(call: String, message: String, hint: String)
    /// An answer lacks a value, or one has another type or shape than it must.
    case badAnswer(call: String, problem: String)
    /// It serves another model than the one that was opened here.
    case otherModel
    /// It was stopped from this side.
    case stopped

    public var errorDescription: String? {
        switch self {
        case .cannotStart(let program, let reason): "\(program) cannot be started: \(reason)."
        case .ended(let status, let said):
            said.isEmpty ? "The server ended (\(status))." : "The server ended (\(status)): \(said)"
        case .closedOutput: "The server closed its output."
        case .timedOut(let call, let seconds): "The server did not answer \(call) within \(seconds) seconds."
        case .message(let error): error.errorDescription
        case .unknownID(let id): "The server answered call \(id), which nobody waits for."
        case .wrongName(let call, let found): "The server answered \(call) as \(found)."
        case .refused(_, let message, _): message
        case .badAnswer(let call, let problem): "The server's answer to \(call) is wrong: \(problem)."
        case .otherModel: "The server serves another model."
        case .stopped: "The server was stopped."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .cannotStart: "Install mobie, or name its program."
        case .ended(_, let said):
            said.isEmpty ? "Run `mobie serve MODEL < /dev/null` to see why." : "Mend what it says, and start it again."
        case .timedOut: "Give it more time, or see whether the machine has memory left."
        case .message(let error): error.recoverySuggestion
        case .closedOutput, .unknownID, .wrongName, .badAnswer: "Use the same version of mobie on both sides."
        case .refused(_, _, let hint): hint.isEmpty ? "Ask for something else." : hint
        case .otherModel: "Give the server the folder that was opened here, and do not change it meanwhile."
        case .stopped: "Start a new one."
        }
    }
}

/// How a process ended.
public enum ServerExit: Sendable, Equatable, CustomStringConvertible {
    /// By itself, with a code.
    case code(Int32)
    /// By a signal.
    case signal(Int32)

    public var description: String {
        switch self {
        case .code(let code): "exit code \(code)"
        case .signal(let number): "signal \(number)"
        }
    }
}
