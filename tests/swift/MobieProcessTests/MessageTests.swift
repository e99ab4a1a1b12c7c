import Foundation
import Testing

@testable import MobieProcess

/// The protocol's bytes, the same in Python and Swift.
struct MessageTests {
    @Test func goldenMessagesAreReadAndWritten() throws {
        let golden = try GoldenMessages.read().good
        #expect(golden.count == 5)
        for one in golden {
            let content = bytes(hex: one.hex)
            let (messages, error) = readStream(content) { content.count }
            #expect(error == nil, "\(one.case)")
            let message = try #require(messages.first, "\(one.case)")
            #expect(messages.count == 1)
            #expect(message.kind.rawValue == one.message.kind)
            #expect(message.id == one.message.id)
            #expect(message.name == one.message.name)
            #expect(Set(message.values.keys) == Set(one.message.values.keys))
            for (name, expected) in one.message.values {
                let value = try #require(message.values[name])
                #expect("\(value.type)" == expected.type, "\(one.case): \(name)")
                #expect(value.shape == expected.shape)
                #expect(value.bytes == bytes(hex: expected.hex))
            }
            #expect(try message.encoded() == content, "\(one.case)")
        }
    }

    @Test func whatIsNoMessageIsRefusedForTheSameReason() throws {
        let golden = try GoldenMessages.read().bad
        #expect(golden.count > 35)
        for one in golden {
            let content = bytes(hex: one.hex)
            for size in [content.count, 1] {
                let error = readStream(content) { size }.error
                #expect(error?.fault.rawValue == one.fault, "\(one.case) in pieces of \(size)")
                #expect(error?.errorDescription?.isEmpty == false)
                #expect(error?.recoverySuggestion?.isEmpty == false)
            }
        }
    }

    @Test func aLargeBodyIsNotKeptBeforeItCame() throws {
        let hello = try Message(kind: .call, id: 1, name: "hello").encoded()
        var reader = MessageReader()
        reader.append(hello.prefix(12) + [0, 0, 0, 0x10])
        #expect(try reader.next() == nil)
        #expect(throws: MessageError.self) { try reader.finish() }
    }

    @Test func valuesComeBack() throws {
        #expect(MessageValue("snow ❄️").text == "snow ❄️")
        #expect(MessageValue(-5).integers == [-5])
        #expect(MessageValue([Int64.min, 0, Int64.max]).integers == [Int64.min, 0, Int64.max])
        #expect(MessageValue([1.5, -0.25] as [Float], shape: [2, 1]).singles == [1.5, -0.25])
        #expect(MessageValue(halves: [0x3C00, 0xFBFF], shape: [2]).halves == [0x3C00, 0xFBFF])
        #expect(MessageValue([7, -7] as [Int32]).reshaped([1, 2]).shape == [1, 2])
        #expect(MessageValue([7] as [Int32]).singles == nil)
        #expect(MessageValue("7").integers == nil)
    }

    @Test func whatMayNotBeSentIsRefused() {
        let one = MessageValue(1)
        let many = Dictionary(uniqueKeysWithValues: (0...64).map { ("v\($0)", one) })
        let axes = MessageValue([1] as [Float], shape: [Int](repeating: 1, count: 9))
        let empty = MessageValue([] as [Int32])
        for (name, values) in [
            ("", [:]), ("two words", [:]), ("ok", ["é": one]), ("ok", many), ("ok", ["a": axes]), ("ok", ["a": empty]),
        ] as [(String, [String: MessageValue])] {
            #expect(throws: MessageError.self) {
                try Message(kind: .call, id: 1, name: name, values: values).encoded()
            }
        }
        #expect(throws: MessageError.self) { try Message(kind: .call, id: 0, name: "ok").encoded() }
        let large = MessageValue(type: .uint8, shape: [1 << 28], bytes: [UInt8](repeating: 0, count: 1 << 28))
        #expect { try Message(kind: .call, id: 1, name: "ok", values: ["a": large]).encoded() } throws: {
            ($0 as? MessageError)?.fault == .tooLarge
        }
    }

    /// Streams of whole messages with bytes changed, removed, repeated and cut: the reader gives messages that were
    /// there, each with the bytes it was read from, or an error; it never crashes, and pieces do not matter.
    @Test func changedStreamsAreReadOrRefused() throws {
        let seed = ProcessInfo.processInfo.environment["MOBIE_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 0...9999)
        let rounds = Repository.isSlow ? 100_000 : 3000
        print("MessageTests: \(rounds) changed streams of MOBIE_SEED=\(seed)")
        var random = SplitMix(state: seed)
        let golden = try GoldenMessages.read()
        let corpus = golden.good.map { bytes(hex: $0.hex) } + golden.bad.map { bytes(hex: $0.hex) }
        var faults: Set<String> = []
        for round in 0..<rounds {
            var content = corpus[Int.random(in: 0..<corpus.count, using: &random)]
            if Bool.random(using: &random) { content += corpus[Int.random(in: 0..<5, using: &random)] }
            for _ in 0..<Int.random(in: 0...4, using: &random) { mutate(&content, &random) }
            let whole = readStream(content) { content.count }
            let most = Int.random(in: 1...64, using: &random)
            let pieces = readStream(content) { Int.random(in: 1...most, using: &random) }
            try #require(whole.messages == pieces.messages, "round \(round), MOBIE_SEED=\(seed)")
            try #require(whole.error?.fault == pieces.error?.fault, "round \(round), MOBIE_SEED=\(seed)")
            let again = try whole.messages.flatMap { try $0.encoded() }
            try #require(content.starts(with: again), "round \(round), MOBIE_SEED=\(seed)")
            faults.insert(whole.error?.fault.rawValue ?? "none")
        }
        #expect(faults == ["none", "garbage", "version", "kind", "tooLarge", "truncated", "form"])
    }

    private func mutate(_ content: inout [UInt8], _ random: inout SplitMix) {
        guard !content.isEmpty else { return }
        // Most of what matters is near the front.
        let reach = Bool.random(using: &random) ? min(48, content.count) : content.count
        let at = Int.random(in: 0..<reach, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: content[at] = UInt8.random(in: 0...255, using: &random)
        case 1: content[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: content.remove(at: at)
        case 3: content.insert(UInt8.random(in: 0...255, using: &random), at: at)
        case 4: content.removeSubrange(at...)
        default: content[at] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
        }
    }
}
