import Testing

@testable import MobieCore

struct JSONParserTests {
    @Test func aDocumentKeepsItsOrderAndKinds() throws {
        let text = #"{"b": [1, -0, 1.0, 1e2, true, null], "a": {"\u0041\n\ud83d\ude00": "é"}}"#
        let value = try JSONParser.parse(Array(text.utf8))
        guard case .object(let members) = value else {
            Issue.record("not an object")
            return
        }
        #expect(members.names == ["b", "a"])
        let numbers: [JSONValue] = [.integer(1), .integer(0), .number(1), .number(100), .bool(true), .null]
        #expect(members["b"] == .array(numbers))
        var inner = JSONObject()
        let isNew = inner.append("A\n😀", .string("é"))
        #expect(isNew)
        #expect(members["a"] == .object(inner))
        #expect(members["c"] == nil)
    }

    @Test(arguments: [
        "", " ", "[", "[1,]", "{\"a\":1,}", "nul", "\"a", "\"\\q\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\u{1}\"", "01", "1.", ".5", "-", "+1", "1e", "1e999", "NaN", "[1] 2",
        "{\"a\":1 \"b\":2}",
        "123456789012345678901", "{\"a\":1,\"\\u0061\":2}", "\u{feff}1",
    ])
    func whatIsNotJSONIsRefused(text: String) {
        #expect(throws: JSONError.self) { try JSONParser.parse(Array(text.utf8)) }
    }

    @Test func whatIsNotUTF8IsRefused() {
        for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]] {
            #expect(throws: JSONError.self) { try JSONParser.parse([0x22] + bytes + [0x22]) }
        }
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth)
        }
        _ = try JSONParser.parse(nested(JSONParser.maximumDepth))
        #expect(throws: JSONError.self) { try JSONParser.parse(nested(JSONParser.maximumDepth + 1)) }
        #expect(throws: JSONError.self) { try JSONParser.parse(nested(1_000_000)) }
    }

    @Test func namesThatOnlyLookAlikeAreTwo() throws {
        // The Kelvin sign, which Swift takes for equal to K, and a composed and a decomposed letter.
        let value = try JSONParser.parse(Array("{\"K\": 1, \"\u{212A}\": 2, \"\u{E9}\": 3, \"e\u{301}\": 4}".utf8))
        guard case .object(let members) = value else {
            Issue.record("not an object")
            return
        }
        #expect(members.members.count == 4)
        #expect(members["K"] == .integer(1))
        #expect(members["e\u{301}"] == .integer(4))
    }

    @Test func aSchemaWithAnUnknownKeywordIsRefused() throws {
        for text in [#"{"multipleOf": 2}"#, #"{"type": ["string", "null"]}"#, #"{"properties": {"a": {"oneOf": []}}}"#]
        {
            let document = try JSONParser.parse(Array(text.utf8))
            #expect(throws: JSONSchema.Unsupported.self) { try JSONSchema(document) }
        }
    }
}
