import Foundation
import MobieCore

@testable import MobieProcess

/// Files of the repository.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Long campaigns run where the environment says MOBIE_SLOW=1, as `make test-slow` does.
    static let isSlow = ProcessInfo.processInfo.environment["MOBIE_SLOW"] == "1"
}

/// Messages and bytes that are none, made by scripts/vectors/messages.py.
struct GoldenMessages: Decodable {
    struct Good: Decodable {
        let `case`: String
        let hex: String
        let message: Described
    }

    struct Described: Decodable {
        struct Value: Decodable {
            let type: String
            let shape: [Int]
            let hex: String
        }

        let kind: UInt8
        let id: UInt32
        let name: String
        let values: [String: Value]
    }

    struct Bad: Decodable {
        let `case`: String
        let hex: String
        let fault: String
    }

    let good: [Good]
    let bad: [Bad]

    static func read() throws -> GoldenMessages {
        let file = Repository.root.appendingPathComponent("tests/vectors/messages.json")
        return try JSONDecoder().decode(Self.self, from: Data(contentsOf: file))
    }
}

/// Bytes of hexadecimal digits.
func bytes(hex: String) -> [UInt8] {
    let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

/// The messages in a stream, and the error that ends it early, read in pieces of these sizes.
func readStream(_ content: [UInt8], pieces: () -> Int) -> (messages: [Message], error: MessageError?) {
    var (reader, messages, rest) = (MessageReader(), [Message](), content[...])
    do throws(MessageError) {
        while !rest.isEmpty {
            let piece = rest.prefix(max(1, pieces()))
            rest = rest.dropFirst(piece.count)
            reader.append(piece)
            while let message = try reader.next() { messages.append(message) }
        }
        try reader.finish()
        return (messages, nil)
    } catch {
        return (messages, error)
    }
}

/// Reproducible random numbers (Steele et al. 2014, "Fast splittable pseudorandom number generators").
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// An empty folder that goes away with the value.
final class TemporaryFolder: Sendable {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }
}
