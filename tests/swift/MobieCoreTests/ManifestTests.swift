import Testing

@testable import MobieCore

struct ManifestTests {
    @Test func whatAManifestSaysIsRead() throws {
        let read = try Models.manifest("embedded")
        #expect(read.frame == FrameSize(width: 256, height: 192))
        #expect(read.latents == LatentsInfo(shape: [1, 8, 24, 32], pixelsPerLatent: 8, scalingFactor: 1))
        #expect(read.method.predictionType == .velocity)
        #expect(read.method.guidance.text == ScaleRange(minimum: 2, maximum: 14, standard: 7.5))
        #expect(read.noise == NoiseInfo(stream: 0, frameStride: 1 << 32))
        #expect(read.schedule.steps == [ScheduleStep(timestep: 999, estimate: 1, latents: 0, noise: 0)])
        #expect(read.components.map(\.name) == ComponentName.allCases)
        #expect(read.missing == [])
        #expect(read.tokenizer.positions == 77)
        let denoiser = try #require(read[.denoiser])
        #expect(denoiser.attention == .splitEinsum)
        #expect(denoiser.inputs.map(\.source) == [.latents, .noise, .conditioner, .conditioner])
        #expect(denoiser.palettes == nil)
        #expect(read[.textEncoder]?.inputs.first?.maximum == 4095)
        #expect(read.provenance.tools["coremltools"] == "9.0")
        #expect(read.extensions.members.isEmpty)
    }

    @Test func palettesAndMissingComponentsAreRead() throws {
        let read = try Models.manifest("palettized")
        #expect(read.missing == [.textEncoder])
        #expect(read[.denoiser]?.form == .compiled)
        #expect(read[.denoiser]?.palettes?.tensors == 92)
        #expect(read[.denoiser]?.palettes?.snrDB == 31.5)
        #expect(read.gates.components[.denoiser]?.palettized == 20)
        #expect(read.gates.edit.palettized == 25)
    }

    @Test func threePassWeightsSumToOne() throws {
        let read = try Models.manifest("three-pass")
        #expect(read.schedule.sampler == .lcm)
        let weights = read.method.guidance.passes.map { $0.weight.value(textGuidance: 7.5, imageGuidance: 1.5) }
        #expect(weights == [-0.5, -6, 7.5])
        #expect(read.extensions.names == ["another_tool"])
    }

    @Test func caseFoldingJoinsWhatDiffersInCaseAlone() {
        for (left, right) in [
            ("MODEL", "model"), ("STRASSE", "straße"), ("ΣΑΣ", "σας"), ("\u{1E9E}", "ss"), ("İ", "i̇"),
        ] {
            #expect(caseFolded(left) == caseFolded(right))
        }
        #expect(caseFolded("\u{131}") != caseFolded("i"))
    }

    @Test func largeTermsThatCancelLeaveNothing() {
        #expect(compensatedSum([1e16, 1, -1e16]) == 1)
        #expect(compensatedSum([]) == 0)
    }
}
