import Foundation
import MobieCore
import MobieCoreML
import Testing

@testable import MobieClip

@Suite("A clip's report")
struct ClipReportTests {
    private func report(plan: ComputePlanReport?) -> ClipReport {
        var statistics = FrameStatistics()
        statistics.recordDelivery(arrival: 960_000_000, time: 1_000_000_000)
        return ClipReport(
            instruction: EditInstruction(prompt: "make it snow", textGuidance: 2, imageGuidance: 1.5), frames: 24,
            frameSize: FrameSize(width: 256, height: 192), model: "abc",
            system: SystemIdentity(system: "iOS 18.1", device: "iPhone17,1"),
            computeUnits: [.denoiser: .cpuAndNeuralEngine, .conditioner: .cpuOnly],
            start: [.loading: 1.5, .warmingUp: 0.25], wasCompiled: true, statistics: statistics.report(),
            computePlan: plan, noComputePlan: plan == nil ? "It needs iOS 17.4." : nil, explanation: nil)
    }

    @Test("comes back from its JSON, with and without a compute plan")
    func roundTrip() throws {
        let operation = ComputePlanReport.Operation(
            kind: "ios17.conv", output: "x", preferred: .neuralEngine, supported: [.cpu, .neuralEngine], cost: 0.75)
        let plan = ComputePlanReport(components: [
            .init(.denoiser, computeUnits: .cpuAndNeuralEngine, operations: [operation])
        ])
        for wanted in [report(plan: plan), report(plan: nil)] {
            #expect(try JSONDecoder().decode(ClipReport.self, from: JSONEncoder().encode(wanted)) == wanted)
        }
    }

    @Test("names components and stages as objects of its JSON")
    func names() throws {
        let data = try JSONEncoder().encode(report(plan: nil))
        let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(json["start"] as? [String: Double] == ["loading": 1.5, "warmingUp": 0.25])
        let units = try #require(json["computeUnits"] as? [String: String])
        #expect(units == [ComponentName.denoiser.rawValue: "cpuAndNeuralEngine", "Conditioner": "cpuOnly"])
        #expect(json["computePlan"] is NSNull)
        #expect(json["noComputePlan"] as? String == "It needs iOS 17.4.")
        #expect(json["explanation"] is NSNull)
        let instruction = try #require(json["instruction"] as? [String: Any])
        #expect(instruction["textGuidance"] as? Double == 2)
    }
}
