import Foundation

/// `mobie-bench`: measures the pipeline. Exit codes: 0 done, 2 wrong use, 3 the work failed, 130 interrupted.
@main
enum MobieBench {
    /// One thing that the program does, chosen by a flag.
    private struct Mode: Sendable {
        let flag: String
        let usage: String
        let run: @Sendable (inout Arguments) async throws -> Void
    }

    private static let modes = {
        var modes = [Mode(flag: "--simulate", usage: Simulation.usage, run: Simulation.run)]
        modes.append(Mode(flag: "--coreml", usage: CoreMLEdit.usage, run: CoreMLEdit.run))
        #if os(macOS) || os(Linux)
            modes.append(Mode(flag: "--process", usage: ProcessEdit.usage, run: ProcessEdit.run))
        #endif
        return modes
    }()

    static func main() async {
        exit(await run(Arguments(Array(CommandLine.arguments.dropFirst()))))
    }

    private static func run(_ given: Arguments) async -> Int32 {
        var arguments = given
        let usage = "Usage:\n" + modes.map(\.usage).joined(separator: "\n")
        if arguments.takeFlag("--help") {
            print(usage)
            return 0
        }
        do {
            guard let mode = modes.first(where: { arguments.takeFlag($0.flag) }) else {
                throw UsageError("Nothing to do was asked for.")
            }
            try await mode.run(&arguments)
            return 0
        } catch is Interrupted {
            printError("Interrupted; nothing half-written was left behind.")
            return 130
        } catch let error as UsageError {
            printError("\(error.problem)\n\(usage)")
            return 2
        } catch {
            let hint = (error as? any LocalizedError)?.recoverySuggestion.map { "\n\($0)" } ?? ""
            printError("\(error.localizedDescription)\(hint)")
            return 3
        }
    }
}

/// The user stopped the program.
struct Interrupted: Error {}

/// Prints a line on standard error.
func printError(_ text: String) {
    FileHandle.standardError.write(Data("\(text)\n".utf8))
}
