import Foundation
import Testing

@testable import MobieCore

struct GuidanceControlsTests {
    private let guidance: Guidance

    init() throws {
        guidance = try Models.manifest("embedded").method.guidance
    }

    @Test func valuesStayInTheModelsRanges() throws {
        var controls = try GuidanceControls(guidance)
        #expect(controls.scales == GuidanceScales(text: 7.5, image: 1.5))
        try controls.set(.text, to: 14)
        try controls.set(.image, to: 1)
        for value in [1.9, 14.1, .nan, .infinity] {
            #expect {
                try controls.set(.text, to: value)
            } throws: {
                guard case .scaleOutOfRange("text", _, 2, 14)? = $0 as? EditError else { return false }
                return true
            }
            #expect(throws: EditError.self) { try GuidanceControls(guidance, text: value) }
        }
        #expect(controls.scales == GuidanceScales(text: 14, image: 1))
        controls.setNearest(.text, to: -.infinity)
        controls.setNearest(.image, to: 99)
        controls.setNearest(.image, to: .nan)
        #expect(controls.scales == GuidanceScales(text: 2, image: 3))
        #expect(controls.position(of: .text) == 0)
        #expect(controls.position(of: .image) == 1)
    }

    @Test func stepsAreRoundAndStopAtTheEnds() throws {
        var controls = try GuidanceControls(guidance)
        // Twelve and two wide: a twentieth is 0.6 and 0.1.
        #expect(controls.step(of: .text) == 0.5)
        #expect(abs(controls.step(of: .image) - 0.1) < 1e-12)
        controls.move(.text, by: 1)
        #expect(controls.value(of: .text) == 8)
        controls.move(.text, by: -2)
        #expect(controls.value(of: .text) == 7)
        controls.move(.text, by: 1000)
        #expect(controls.value(of: .text) == 14)
        controls.move(.text, by: -1000)
        #expect(controls.value(of: .text) == 2)
        // There and back again is the same value, and so the same conditioning.
        let places = (0..<10).map { _ in
            controls.move(.image, by: 1)
            return controls.value(of: .image)
        }
        for place in places.dropLast().reversed() {
            controls.move(.image, by: -1)
            #expect(controls.value(of: .image) == place)
        }
        let fixed = ScaleRange(minimum: 1, maximum: 1, standard: 1)
        var still = try GuidanceControls(Guidance(kind: .embedded, text: fixed, image: fixed, passes: []))
        still.move(.text, by: 3)
        #expect((still.value(of: .text), still.step(of: .text), still.position(of: .text)) == (1, 0, 0))
    }

    @Test func presetsLieBetweenTheStandardAndTheEnds() throws {
        var controls = try GuidanceControls(guidance)
        controls.apply(.subtle)
        #expect(controls.scales == GuidanceScales(text: 4.75, image: 2.25))
        controls.apply(.strong)
        #expect(controls.scales == GuidanceScales(text: 10.75, image: 1.25))
        controls.apply(.standard)
        #expect(controls == (try GuidanceControls(guidance)))
    }

    @Test func controlsAreWrittenAndReadOrRefused() throws {
        let controls = try GuidanceControls(guidance, text: 3, image: 2)
        let written = try JSONEncoder().encode(controls)
        #expect(try JSONDecoder().decode(GuidanceControls.self, from: written) == controls)
        let range = #"{"minimum": 2, "maximum": 14, "standard": 7.5}"#
        let fine = #"{"range": \#(range), "value": 3}"#
        for bad in [
            #"{"range": \#(range), "value": 15}"#, #"{"range": \#(range), "value": "3"}"#, "3",
            #"{"range": {"minimum": 2, "maximum": 1, "standard": 1}, "value": 1}"#,
        ] {
            for text in ["{\"text\": \(bad), \"image\": \(fine)}", "{\"text\": \(fine), \"image\": \(bad)}"] {
                #expect(throws: DecodingError.self) {
                    try JSONDecoder().decode(GuidanceControls.self, from: Data(text.utf8))
                }
            }
        }
    }

    @Test func theHistoryHasEachPromptOnceAndIsBounded() throws {
        var history = PromptHistory()
        #expect(history.previous == nil)
        history.record(EditInstruction(prompt: "make it snow"))
        history.record(EditInstruction(prompt: "make it rain"))
        history.record(EditInstruction(prompt: "make it snow", textGuidance: 9))
        #expect(history.instructions.map(\.prompt) == ["make it snow", "make it rain"])
        #expect(history.instructions[0].textGuidance == 9)
        #expect(history.previous?.prompt == "make it rain")
        for number in 0..<100 { history.record(EditInstruction(prompt: "\(number)")) }
        #expect(history.instructions.count == PromptHistory.capacity)
        let written = try JSONEncoder().encode(history)
        #expect(try JSONDecoder().decode(PromptHistory.self, from: written) == history)
        history.clear()
        #expect(history == PromptHistory())
    }
}
