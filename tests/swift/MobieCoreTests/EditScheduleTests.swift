import Foundation
import Testing

@testable import MobieCore

/// Schedules and passes give the bits of the Python editor.
struct EditScheduleTests {
    private struct Case: Decodable {
        struct Step: Decodable {
            let timestep: Int
            let x0: Double
            let latents: Double
            let noise: Double
        }

        struct Pass: Decodable {
            let text: Bool
            let image: Bool
            let weight: [Double]
        }

        let steps: [Step]
        let passes: [Pass]
        let textGuidance: Double
        let imageGuidance: Double
        let frame: UInt64
        let bits: [UInt16]

        private enum CodingKeys: String, CodingKey {
            case steps, passes, frame, bits
            case textGuidance = "text_guidance"
            case imageGuidance = "image_guidance"
        }
    }

    @Test func editsAreThoseOfPythonToTheBit() async throws {
        let cases: [Case] = try Vectors.decode("schedules.json")
        #expect(cases.count == 17)
        let image = DeterministicNoise.standardNormal(seed: 99, stream: 0, count: 60).map(HalfPrecision.value)
        for (number, one) in cases.enumerated() {
            let manifest = try Models.manifest("embedded").replacing(
                latents: [1, 4, 3, 5],
                steps: one.steps.map {
                    ScheduleStep(timestep: $0.timestep, estimate: $0.x0, latents: $0.latents, noise: $0.noise)
                },
                guidance: Guidance(
                    kind: one.passes.count == 1 ? .embedded : .threePass, text: Models.anyScale, image: Models.anyScale,
                    passes: one.passes.map {
                        GuidancePass(
                            usesText: $0.text, usesImage: $0.image,
                            weight: PassWeight(constant: $0.weight[0], text: $0.weight[1], image: $0.weight[2]))
                    }))
            let backend = StandInBackend()
            let conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: try Models.tokenizer())
            let instruction = EditInstruction(
                prompt: "snow", textGuidance: one.textGuidance, imageGuidance: one.imageGuidance)
            let runner = EditRunner(backend: backend, manifest: manifest)
            let edited = try await runner.denoise(
                StandInBackend.Tensor(values: image), try await conditioner.condition(instruction),
                try await runner.noise(seed: 5, frame: one.frame))
            #expect(edited.values.map { HalfPrecision.bits(of: Double($0)) } == one.bits, "case \(number)")
        }
    }

    @Test func conditioningIsKeptAndBounded() async throws {
        let backend = StandInBackend()
        let manifest = try Models.manifest("three-pass")
        let conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: try Models.tokenizer())
        _ = try await conditioner.condition(EditInstruction(prompt: "snow"))
        // Three steps, with the prompt and without.
        #expect(await backend.log.calls == [.textEncoder: 2, .conditioner: 6])
        _ = try await conditioner.condition(EditInstruction(prompt: "snow", textGuidance: 3))
        // Without guidance inputs the scales change weights alone.
        #expect(await backend.log.calls == [.textEncoder: 2, .conditioner: 6])
        await conditioner.clear()
        _ = try await conditioner.condition(EditInstruction(prompt: "snow"))
        #expect(await backend.log.calls == [.textEncoder: 4, .conditioner: 12])
    }

    @Test func promptsOfTheSameIDsShareTheirConditioning() async throws {
        let backend = StandInBackend()
        let conditioner = Conditioner(
            backend: backend, manifest: try Models.manifest("embedded"), tokenizer: try Models.tokenizer())
        for prompt in ["make it snow", "  Make it  SNOW\n", "make it snow"] {
            _ = try await conditioner.condition(EditInstruction(prompt: prompt))
        }
        #expect(await backend.log.calls == [.textEncoder: 1, .conditioner: 1])
        _ = try await conditioner.condition(EditInstruction(prompt: "make it snow", textGuidance: 3))
        #expect(await backend.log.calls == [.textEncoder: 1, .conditioner: 2])
    }

    @Test func whatWasNotUsedForTheLongestTimeMakesRoom() {
        var cache = LeastRecentlyUsed<Int, Int>(capacity: 3)
        for number in 0..<3 { cache.keep(number, as: number) }
        #expect(cache.value(of: 0) == 0)
        cache.keep(3, as: 3)
        #expect(cache.value(of: 1) == nil)
        cache.keep(20, as: 2)
        cache.keep(4, as: 4)
        #expect([0, 2, 3, 4].map { cache.value(of: $0) } == [nil, 20, 3, 4])
        for number in 0..<100 { cache.keep(number, as: number) }
        #expect(cache.count == 3)
        cache.clear()
        #expect(cache.count == 0)
    }

    /// A Denoiser without image latents beside the noisy ones starts from the frame's latents with noise.
    @Test func imageToImageModelsStartFromTheFrame() async throws {
        let corpus: ManifestCorpusTests.Corpus = try Vectors.decode("manifests.json")
        var text = try #require(corpus.bases["embedded"])
        let denoiser = try #require(text.range(of: "\"Denoiser\":{"))
        let input = try #require(
            text.range(
                of: #"\{"name":"image_latents"[^}]*\},"#, options: .regularExpression,
                range: denoiser.upperBound..<text.endIndex))
        text.removeSubrange(input)
        let read = try ModelManifest(parsing: Array(text.utf8))
        #expect(read.startsFromImage)
        #expect(try !Models.manifest("embedded").startsFromImage)
        let manifest = read.replacing(
            latents: [1, 4, 1, 1],
            steps: [
                ScheduleStep(timestep: 500, estimate: 0, latents: 1, noise: 0),
                ScheduleStep(timestep: 250, estimate: 0.5, latents: 0.5, noise: 0),
            ], guidance: read.method.guidance)
        let backend = StandInBackend()
        let conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: try Models.tokenizer())
        let runner = EditRunner(backend: backend, manifest: manifest)
        let noise = try await runner.noise(seed: 3, frame: 0)
        let image: [Float] = [1, -2, 0.5, 0]
        let edited = try await runner.denoise(
            .init(mark: 4, values: image), try await conditioner.condition(EditInstruction(prompt: "snow")), noise)
        // As the Python side computes it, and what one beta leaves.
        let kept = manifest.method.noiseSchedule.alphasCumprod(at: 500)
        #expect(abs(kept - 0.2763326838229746) < 1e-12)
        #expect(manifest.method.noiseSchedule.alphasCumprod(at: 999) - 0.004660098513077238 < 1e-12)
        let expected = zip(image, noise.initial).map { image, noise in
            // The first step keeps its start; the Denoiser, which gets no image, gives 0.75 of it and k.
            let start = half(Float(kept.squareRoot()) * image + Float((1 - kept).squareRoot()) * noise)
            return 0.5 * half(0.75 * start + 0.25) + 0.5 * start
        }
        for (one, other) in zip(edited.values, expected) { #expect(abs(one - other) < 2e-3) }
    }

    private func half(_ value: Float) -> Float {
        HalfPrecision.value(of: HalfPrecision.bits(of: Double(value)))
    }

    @Test func passesOfWeightZeroAreNotRun() async throws {
        let backend = StandInBackend()
        let manifest = try Models.manifest("three-pass")
        let conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: try Models.tokenizer())
        let made = try await conditioner.condition(EditInstruction(prompt: "snow", textGuidance: 2, imageGuidance: 1))
        #expect(made.steps.map(\.count) == [2, 2, 2])
    }

    @Test func instructionsThatCannotBeAreRefused() async throws {
        let manifest = try Models.manifest("embedded")
        let conditioner = Conditioner(backend: StandInBackend(), manifest: manifest, tokenizer: try Models.tokenizer())
        await #expect(throws: EditError.emptyPrompt) { try await conditioner.condition(EditInstruction(prompt: " \n")) }
        await #expect(throws: TokenizerError.self) {
            try await conditioner.condition(EditInstruction(prompt: String(repeating: "snow ", count: 76)))
        }
        for value in [1.9, 14.1, .nan, .infinity] {
            await #expect {
                try await conditioner.condition(EditInstruction(prompt: "snow", textGuidance: value))
            } throws: {
                guard case .scaleOutOfRange("text", _, 2, 14)? = $0 as? EditError else { return false }
                return true
            }
        }
        #expect(EditError.emptyPrompt.recoverySuggestion?.isEmpty == false)
    }

    /// Too few, and too many, in the first step of several and in a pass of several.
    @Test(arguments: ["embedded", "three-pass"], [59, 61])
    func anotherNumberOfLatentsIsRefused(base: String, count: Int) async throws {
        let method = try Models.manifest(base).method
        let manifest = try Models.manifest(base).replacing(
            latents: [1, 4, 3, 5],
            steps: [
                ScheduleStep(timestep: 999, estimate: 1, latents: 0, noise: 0),
                ScheduleStep(timestep: 0, estimate: 1, latents: 0, noise: 0.5),
            ], guidance: method.guidance)
        let backend = StandInBackend(latentsGiven: count)
        let conditioner = Conditioner(backend: backend, manifest: manifest, tokenizer: try Models.tokenizer())
        let conditioning = try await conditioner.condition(EditInstruction(prompt: "snow"))
        let runner = EditRunner(backend: backend, manifest: manifest)
        let image = StandInBackend.Tensor(values: [Float](repeating: 0, count: 60))
        let noise = try await runner.noise(seed: 0, frame: 0)
        let error = EditError.latentsMismatch(found: count, expected: 60)
        await #expect(throws: error) { try await runner.denoise(image, conditioning, noise) }
        #expect(error.recoverySuggestion?.isEmpty == false)
    }

    @Test func noiseBeyondTheLastStreamIsRefused() async throws {
        let runner = EditRunner(backend: StandInBackend(), manifest: try Models.manifest("embedded"))
        await #expect(throws: EditError.noiseStreamOutOfRange) { try await runner.noise(seed: 0, frame: 1 << 32) }
        #expect(try await runner.noise(seed: 0, frame: 1 << 31).initial.count == 8 * 24 * 32)
    }
}

/// Manifests and tokenizers for tests of the pipeline.
enum Models {
    private static let vocabulary = "mobie_coreml/models/vocabulary"
    static let anyScale = ScaleRange(minimum: -100, maximum: 100, standard: 1)

    static func manifest(_ base: String) throws -> ModelManifest {
        let corpus: ManifestCorpusTests.Corpus = try Vectors.decode("manifests.json")
        return try ModelManifest(parsing: Array(try #require(corpus.bases[base]).utf8))
    }

    static func tokenizer() throws -> CLIPTokenizer { try sharedTokenizer.get() }

    /// Read once: that takes longer than most tests.
    private static let sharedTokenizer = Result {
        try CLIPTokenizer(
            vocabulary: try Vectors.bytes("\(vocabulary)/vocab.json"),
            merges: try Vectors.bytes("\(vocabulary)/merges.txt"))
    }

    static func writeTokenizer(to folder: TemporaryFolder) throws {
        for name in ["vocab.json", "merges.txt"] {
            let bytes = try Vectors.bytes("\(vocabulary)/\(name)")
            try folder.write(String(decoding: bytes, as: UTF8.self), to: "tokenizer/\(name)")
        }
    }
}

extension ModelManifest {
    /// The same manifest with other latents, steps and guidance.
    func replacing(latents shape: [Int], steps: [ScheduleStep], guidance: Guidance) -> ModelManifest {
        ModelManifest(
            method: EditMethod(
                predictionType: method.predictionType, noiseSchedule: method.noiseSchedule, guidance: guidance),
            frame: frame, latents: LatentsInfo(shape: shape, pixelsPerLatent: 8, scalingFactor: 1), noise: noise,
            schedule: StepSchedule(sampler: schedule.sampler, steps: steps), components: components,
            tokenizer: tokenizer, gates: gates, provenance: provenance, extensions: extensions)
    }
}
