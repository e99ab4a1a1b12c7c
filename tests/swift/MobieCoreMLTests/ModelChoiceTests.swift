import Foundation
import MobieCore
import Testing

@testable import MobieCoreML

struct ModelChoiceTests {
    typealias Units = ModelComponent.ComputeUnits

    private static let ios17 = OperatingSystemVersion(majorVersion: 17, minorVersion: 0, patchVersion: 0)
    private static let macOS14 = OperatingSystemVersion(majorVersion: 14, minorVersion: 0, patchVersion: 0)

    @Test func unitsAreTheManifestsUnlessOthersAreAskedFor() throws {
        let manifest = try Fixtures.manifest()
        let recommended = Dictionary(uniqueKeysWithValues: manifest.components.map { ($0.name, $0.computeUnits) })
        #expect(ComputeUnitChoice().units(of: manifest) == recommended)
        let chosen = ComputeUnitChoice(.cpuAndGPU, components: [.decoder: .cpuOnly]).units(of: manifest)
        #expect(chosen[.denoiser] == .cpuAndGPU)
        #expect(chosen[.decoder] == .cpuOnly)
        #expect(ComputeUnitChoice(.all).units(of: manifest, ceiling: .cpuOnly)[.denoiser] == .cpuOnly)
    }

    @Test(arguments: [
        (Units.all, Units.cpuAndGPU, Units.cpuAndGPU), (.cpuAndNeuralEngine, .cpuAndGPU, .cpuAndGPU),
        (.cpuOnly, .cpuAndGPU, .cpuOnly), (.cpuAndGPU, .cpuAndGPU, .cpuAndGPU), (.all, .all, .all),
        (.all, .cpuAndNeuralEngine, .cpuAndNeuralEngine), (.cpuOnly, .cpuAndNeuralEngine, .cpuOnly),
        (.all, .cpuOnly, .cpuOnly), (.cpuAndGPU, .all, .cpuAndGPU),
    ])
    func unitsWithinACeiling(_ units: Units, _ ceiling: Units, _ expected: Units) {
        #expect(units.limited(to: ceiling) == expected)
    }

    @Test func theUnionOfUnits() {
        #expect(Units.union([]) == .cpuOnly)
        #expect(Units.union([.cpuOnly, .cpuAndGPU]) == .cpuAndGPU)
        #expect(Units.union([.cpuAndNeuralEngine, .cpuOnly]) == .cpuAndNeuralEngine)
        #expect(Units.union([.cpuAndNeuralEngine, .cpuAndGPU]) == .all)
        #expect(Units.union([.all]) == .all)
    }

    @Test func aCeilingIsRememberedForAModelAndASystem() throws {
        let folder = try ScratchFolder()
        let file = folder.url.appendingPathComponent("units.json")
        let system = SystemIdentity(system: "1", device: "a")
        var memory = ComputeUnitMemory(contentsOf: file)
        memory.remember(model: "m", system: system, ceiling: .cpuAndGPU)
        try memory.write(to: file)
        var read = ComputeUnitMemory(contentsOf: file)
        #expect(read.ceiling(model: "m", system: system) == .cpuAndGPU)
        #expect(read.ceiling(model: "m", system: SystemIdentity(system: "2", device: "a")) == nil)
        #expect(read.ceiling(model: "n", system: system) == nil)
        read.forget(model: "m")
        #expect(read.ceiling(model: "m", system: system) == nil)
        try folder.write("[", to: "units.json")
        #expect(ComputeUnitMemory(contentsOf: file) == ComputeUnitMemory())
    }

    @Test func modelsForMacOSAloneAreRefusedOnIOS() throws {
        let manifest = try Fixtures.manifest("embedded", [("\"macos_only\":false", "\"macos_only\":true")])
        let refusal = try #require(manifest.unsupported(on: .iOS, version: Self.ios17))
        #expect(refusal.kind == .unsupported)
        #expect(refusal.problem.contains("macOS alone"))
        #expect(manifest.unsupported(on: .macOS, version: Self.macOS14) == nil)
        #expect(try Fixtures.manifest().unsupported(on: .iOS, version: Self.ios17) == nil)
    }

    @Test func modelsForANewerSystemAreRefused() throws {
        let manifest = try Fixtures.manifest("embedded", [("\"iOS17\"", "\"iOS18\"")])
        let onIOS = try #require(manifest.unsupported(on: .iOS, version: Self.ios17))
        #expect(onIOS.problem.contains("iOS 18"))
        let onMac = try #require(manifest.unsupported(on: .macOS, version: Self.macOS14))
        #expect(onMac.problem.contains("macOS 15"))
        let newer = OperatingSystemVersion(majorVersion: 18, minorVersion: 0, patchVersion: 0)
        #expect(manifest.unsupported(on: .iOS, version: newer) == nil)
        #expect(manifest.unsupported(on: .macOS, version: newer) == nil)
    }

    @Test func theDigestNamesTheModel() throws {
        let manifest = try Fixtures.manifest()
        let digest = try #require(manifest.components.first).sha256
        let other = try Fixtures.manifest(
            "embedded", [(digest, String(repeating: "0", count: digest.count))])
        #expect(manifest.digest.count == 64)
        #expect(manifest.digest == (try Fixtures.manifest().digest))
        #expect(manifest.digest != other.digest)
    }

    @Test func thisSystemHasAName() {
        #expect(!SystemIdentity.current.system.isEmpty)
        #expect(!SystemIdentity.current.device.isEmpty)
        #expect(SystemIdentity.current == SystemIdentity.current)
    }

    @Test func inputsAreFoundByWhatTheyTake() throws {
        let manifest = try Fixtures.manifest()
        let denoiser = try ComponentBinding(try #require(manifest[.denoiser]))
        let named = try denoiser.inputs([
            .imageLatents: 1, .latents: 2, .conditioning("shifts"): 3, .conditioning("text_kv"): 4,
            .conditioning("else"): 5,
        ])
        #expect(named == ["image_latents": 1, "noisy_latents": 2, "shifts": 3, "text_kv": 4])
        #expect { try denoiser.inputs([.latents: 2]) } throws: { ($0 as? ModelFailure)?.kind == .inference }
        let conditioner = try ComponentBinding(try #require(manifest[.conditioner]))
        #expect(conditioner.names[.textGuidance] == "text_guidance")
        #expect(conditioner.names[.imageGuidance] == "image_guidance")
        #expect(try ComponentBinding(try #require(manifest[.decoder])).names == [.latents: "denoised_latents"])
        #expect(try ComponentBinding(try #require(manifest[.encoder])).names == [.frame: "frame"])
    }

    @Test func inputsThatNobodyHereHasAreRefused() throws {
        let manifest = try Fixtures.manifest(
            "embedded", [("\"source\":\"noise\"", "\"source\":\"anchor\"")])
        #expect { try ComponentBinding(try #require(manifest[.denoiser])) } throws: {
            ($0 as? ModelFailure)?.kind == .unsupported
        }
    }

    @Test func theReportOfAComputePlan() throws {
        typealias Operation = ComputePlanReport.Operation
        let report = ComputePlanReport.Component(
            .denoiser, computeUnits: .all,
            operations: [
                Operation(kind: "conv", output: "a", preferred: .neuralEngine, supported: [.cpu], cost: 0.6),
                Operation(kind: "softmax", output: "b", preferred: .cpu, supported: [.cpu], cost: 0.1),
                Operation(kind: "gather", output: "c", preferred: .cpu, supported: [.cpu], cost: 0.25),
                Operation(kind: "cast", output: "d", preferred: .gpu, supported: [.gpu], cost: nil),
            ])
        #expect(report.counts == ["neuralEngine": 1, "cpu": 2, "gpu": 1])
        #expect(abs((report.costs["cpu"] ?? 0) - 0.35) < 1e-12)
        #expect(report.elsewhere.map(\.output) == ["c", "b", "d"])
        let whole = ComputePlanReport(components: [report])
        #expect(try JSONDecoder().decode(ComputePlanReport.self, from: JSONEncoder().encode(whole)) == whole)
        #expect(ComputePlanReport.Component(.encoder, computeUnits: .cpuOnly, operations: []).elsewhere == [])
    }
}
