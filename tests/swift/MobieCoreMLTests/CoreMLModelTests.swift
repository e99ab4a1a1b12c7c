#if canImport(CoreML)
    import CoreVideo
    import Foundation
    import MobieCore
    import MobiePixels
    import Testing

    @testable import MobieCoreML

    /// Core ML itself on a small model, against what Python's executor gave for the same packages
    /// (scripts/make_tiny_model.py; the environment says where it is).
    @Suite(
        .serialized,
        .enabled(if: TinyModel.folder != nil, "MOBIE_TINY_MODEL names no output of scripts/make_tiny_model.py"))
    struct CoreMLModelTests {
        private let tiny: TinyModel
        private let folder: ModelFolder
        private let scratch: ScratchFolder

        init() throws {
            tiny = try TinyModel()
            folder = try ModelFolder.open(tiny.url.appendingPathComponent("model"))
            scratch = try ScratchFolder()
        }

        /// Hosted machines have no Neural Engine that can be used: the CPU alone.
        private func starter() -> ModelStarter<CoreMLRuntime> {
            ModelStarter(
                folder: folder, runtime: CoreMLRuntime(),
                places: .init(
                    cache: CompiledModelCache(folder: scratch.url.appendingPathComponent("cache")),
                    records: scratch.url),
                computeUnits: ComputeUnitChoice(.cpuOnly))
        }

        @Test func everyComponentGivesWhatPythonsExecutorGives() async throws {
            let backend = try await starter().start()
            let states = try await backend.textStates(ids: try tiny.values("input_ids").map { Int32($0) })
            try await check(try states.values(), "text_states", .textEncoder)
            let embedded = folder.manifest.method.guidance.kind == .embedded
            let conditioning = try await backend.condition(
                states, timestep: Int(try tiny.number("timestep")),
                guidance: embedded
                    ? GuidanceScales(
                        text: try tiny.number("text_guidance"), image: try tiny.number("image_guidance")) : nil)
            for (name, tensor) in conditioning { try await check(try tensor.values(), name, .conditioner) }
            let image = try await backend.encode(try frame())
            try await check(try await backend.values(of: image), "image_latents", .encoder)
            let noise = try await backend.latents(try tiny.values("noisy_latents"))
            #expect(noise.isShared)
            let latents = try await backend.denoise(imageLatents: image, latents: noise, conditioning: conditioning)
            try await check(try await backend.values(of: latents), "denoised_latents", .denoiser)
            let edited = try await backend.decode(latents)
            #expect(edited.size == folder.manifest.frame)
            try await check(try rgb(edited), "edited_frame", .decoder)
            let uses = await backend.backingUse
            #expect(Set(uses.keys) == Set(ComponentName.allCases))
            #expect(await backend.reloads == 0)
        }

        @Test func aSecondStartCompilesNothing() async throws {
            let first = starter()
            #expect(await !first.isExpectedCached())
            _ = try await first.start()
            let second = starter()
            #expect(await second.isExpectedCached())
            _ = try await second.start()
            #expect(await second.state == .ready)
        }

        @Test func theComputePlanNamesDevices() async throws {
            let starter = starter()
            _ = try await starter.start()
            let report = try await CoreMLRuntime().computePlan(of: await starter.loadable)
            #expect(report.components.map(\.name) == folder.manifest.components.map(\.name))
            #expect(report.components.allSatisfy { $0.counts.keys.contains("cpu") })
        }

        @Test func aFrameOfAnotherSizeIsRefusedWithoutLoadingAgain() async throws {
            let backend = try await starter().start()
            let wrong = try CoreMLRuntime().blankFrame(of: FrameSize(width: 16, height: 16))
            await #expect(throws: PixelError.self) { try await backend.encode(wrong) }
            #expect(await backend.reloads == 0)
        }

        /// At least the manifest's gate for fp16 arithmetic, in dB below the largest value.
        private func check(_ found: [Float], _ name: String, _ component: ComponentName) async throws {
            let expected = try tiny.values(name)
            try #require(found.count == expected.count, "\(name)")
            let peak = expected.map(abs).max() ?? 0
            let errors = zip(found, expected).map { Double($0 - $1) * Double($0 - $1) }
            let mean = (errors.reduce(0, +) / Double(errors.count)).squareRoot()
            let ratio = mean == 0 ? .infinity : 20 * log10(Double(peak) / mean)
            // The Decoder takes what the others gave: its frame is the edit's.
            let gates = folder.manifest.gates
            let gate = component == .decoder ? gates.edit.fp16 : gates.components[component]?.fp16
            #expect(ratio >= (try #require(gate)), "\(name): \(ratio) dB")
        }

        private func frame() throws -> PixelFrame {
            let size = folder.manifest.frame
            let planes = try tiny.values("frame")
            let area = size.width * size.height
            var bytes: [UInt8] = []
            for place in 0..<area {
                bytes += [2, 1, 0].map { UInt8(planes[$0 * area + place]) } + [255]
            }
            let image = try #require(
                InterleavedImage(width: size.width, height: size.height, channels: 4, bytes: bytes))
            return try PixelBufferPool(frames: size).frame(of: image)
        }

        private func rgb(_ frame: PixelFrame) throws -> [Float] {
            let image = try frame.image()
            return [2, 1, 0].flatMap { channel in
                stride(from: channel, to: image.bytes.count, by: 4).map { Float(image.bytes[$0]) }
            }
        }
    }

    /// What scripts/make_tiny_model.py wrote.
    private struct TinyModel {
        private struct Index: Decodable {
            let numbers: [String: Double]
            let tensors: [String: [Int]]
        }

        static let folder = ProcessInfo.processInfo.environment["MOBIE_TINY_MODEL"].map { URL(fileURLWithPath: $0) }

        let url: URL
        private let index: Index

        init() throws {
            url = try #require(Self.folder)
            let data = try Data(contentsOf: url.appendingPathComponent("expected/index.json"))
            index = try JSONDecoder().decode(Index.self, from: data)
        }

        func number(_ name: String) throws -> Double { try #require(index.numbers[name], "\(name)") }

        func values(_ name: String) throws -> [Float] {
            let count = try #require(index.tensors[name], "\(name)").reduce(1, *)
            let data = try Data(contentsOf: url.appendingPathComponent("expected/\(name).f32"))
            try #require(data.count == 4 * count)
            return data.withUnsafeBytes { bytes in
                (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
    }
#endif
