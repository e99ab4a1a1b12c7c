#if os(macOS) || os(Linux)
    import Foundation
    import MobieCore

    /// Components that run in a server: frames are RGB, tensors are what messages carry.
    public struct ProcessBackend: EditBackend {
        public typealias Frame = InterleavedImage
        public typealias Tensor = MessageValue

        private let connection: ServerConnection
        private let manifest: ModelManifest

        /// Components of a model that a server runs.
        ///
        /// - Parameters:
        ///   - model: The folder that the server was started with.
        ///   - timeout: For the server to open the model.
        /// - Throws: `ServerError`; `ServerError.otherModel` where the server has another folder.
        public init(
            model: ModelFolder, connection: ServerConnection, timeout: Duration? = nil
        ) async throws {
            let answer = try await connection.call("hello", timeout: timeout)
            guard let digest = answer["manifest_sha256"]?.text else {
                throw ServerError.badAnswer(call: "hello", problem: "it names no manifest")
            }
            let manifestFile = model.url.appendingPathComponent(ModelManifest.fileName)
            guard digest == SHA256.hex(of: try Data(contentsOf: manifestFile)) else { throw ServerError.otherModel }
            (self.connection, manifest) = (connection, model.manifest)
        }

        public func textStates(ids: [Int32]) async throws -> MessageValue {
            let input = MessageValue(ids).reshaped([1, ids.count])
            return try await run(.textEncoder, given: [.prompt: input])
        }

        public func condition(
            _ states: MessageValue, timestep: Int, guidance: GuidanceScales?
        ) async throws -> [String: MessageValue] {
            var inputs: [String: MessageValue] = [:]
            for input in manifest[.conditioner]?.inputs ?? [] {
                switch input.source {
                case .textEncoder: inputs[input.name] = states
                case .schedule: inputs[input.name] = MessageValue([Float(timestep)], shape: [1])
                default: break
                }
            }
            if let guidance {
                inputs["text_guidance"] = MessageValue([Float(guidance.text)], shape: [1])
                inputs["image_guidance"] = MessageValue([Float(guidance.image)], shape: [1])
            }
            return try await outputs(.conditioner, inputs)
        }

        public func encode(_ frame: InterleavedImage) async throws -> MessageValue {
            try await run(.encoder, given: [.frame: MessageValue(frame)])
        }

        public func denoise(
            imageLatents: MessageValue?, latents: MessageValue, conditioning: [String: MessageValue]
        ) async throws -> MessageValue {
            let zeros = MessageValue(halves: [UInt16](repeating: 0, count: latentCount), shape: manifest.latents.shape)
            let given = [TensorInfo.Source.latents: imageLatents ?? zeros, .noise: latents]
            return try await run(.denoiser, given: given, named: conditioning)
        }

        public func decode(_ latents: MessageValue) async throws -> InterleavedImage {
            let pixels = try await run(.decoder, given: [.latents: latents])
            return try pixels.image(call: ComponentName.decoder.rawValue)
        }

        public func latents(_ values: [Float]) async throws -> MessageValue {
            MessageValue(halves: values.map { HalfPrecision.bits(of: Double($0)) }, shape: manifest.latents.shape)
        }

        public func values(of latents: MessageValue) async throws -> [Float] {
            latents.singles ?? latents.halves?.map(HalfPrecision.value) ?? []
        }

        private var latentCount: Int { manifest.latents.shape.reduce(1, *) }

        /// The only output of a component; inputs are given by where the manifest says that they come from.
        private func run(
            _ component: ComponentName, given: [TensorInfo.Source: MessageValue], named: [String: MessageValue] = [:]
        ) async throws -> MessageValue {
            var inputs: [String: MessageValue] = [:]
            for input in manifest[component]?.inputs ?? [] {
                inputs[input.name] = input.source == .conditioner ? named[input.name] : given[input.source]
            }
            let made = try await outputs(component, inputs)
            guard let output = made.first?.value, made.count == 1 else {
                throw ServerError.badAnswer(call: component.rawValue, problem: "it has \(made.count) outputs")
            }
            return output
        }

        /// A component's outputs, all of them and as the manifest says.
        private func outputs(
            _ component: ComponentName, _ inputs: [String: MessageValue]
        ) async throws -> [String: MessageValue] {
            let made = try await connection.call(component.rawValue, inputs)
            let expected = manifest[component]?.outputs ?? []
            for info in expected {
                // Images come as (height, width, 3); numbers as they were computed, before they are rounded.
                let isImage = info.elementType == .image
                let shape = isImage ? [info.shape[2], info.shape[3], info.shape[1]] : info.shape
                guard let found = made[info.name], found.shape == shape, found.type == (isImage ? .uint8 : .float32)
                else {
                    throw ServerError.badAnswer(
                        call: component.rawValue, problem: "\(info.name) is not what the manifest says")
                }
            }
            guard made.count == expected.count else {
                throw ServerError.badAnswer(call: component.rawValue, problem: "it has outputs that are not known")
            }
            return made
        }
    }

    extension MessageValue {
        /// An image as (height, width, channels).
        init(_ image: InterleavedImage) {
            self.init(type: .uint8, shape: [image.height, image.width, image.channels], bytes: image.bytes)
        }

        /// The RGB image that it is.
        func image(call: String) throws(ServerError) -> InterleavedImage {
            guard type == .uint8, shape.count == 3, shape[2] == 3,
                let image = InterleavedImage(width: shape[1], height: shape[0], channels: 3, bytes: bytes)
            else {
                throw .badAnswer(call: call, problem: "it has no RGB image")
            }
            return image
        }
    }
#endif
