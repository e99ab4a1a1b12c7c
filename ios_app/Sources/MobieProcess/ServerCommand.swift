import Foundation

/// A program that talks the protocol over its standard input and output.
public struct ServerCommand: Sendable, Equatable {
    /// Its file.
    public let program: URL
    /// Its arguments.
    public let arguments: [String]
    /// Variables that it has besides those of this process, or instead of them.
    public let environment: [String: String]

    /// A command.
    public init(program: URL, arguments: [String] = [], environment: [String: String] = [:]) {
        (self.program, self.arguments, self.environment) = (program, arguments, environment)
    }

    /// `mobie serve` for a model folder.
    ///
    /// - Parameters:
    ///   - mobie: The program's path, or its name where a folder of PATH has it.
    ///   - environment: Variables that it has besides those of this process.
    /// - Throws: `ServerError.cannotStart` where there is no such program.
    public static func serve(
        model: URL, mobie: String = "mobie", environment: [String: String] = [:]
    ) throws(ServerError) -> ServerCommand {
        ServerCommand(program: try find(mobie), arguments: ["serve", model.path], environment: environment)
    }

    private static func find(_ name: String) throws(ServerError) -> URL {
        let folders = ProcessInfo.processInfo.environment["PATH", default: ""].split(separator: ":").map(String.init)
        let candidates =
            name.contains("/")
            ? [URL(fileURLWithPath: name)]
            : folders.map { URL(fileURLWithPath: $0).appendingPathComponent(name) }
        guard let found = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) }) else {
            throw .cannotStart(program: name, reason: "there is no such program")
        }
        return found
    }
}
