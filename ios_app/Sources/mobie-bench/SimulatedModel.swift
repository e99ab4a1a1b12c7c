import Foundation
import MobieCore

/// A model that exists as a manifest and a tokenizer alone: 16x16 frames, one step, one pass.
enum SimulatedModel {
    private typealias JSON = [String: any Sendable]

    /// Numbers of its latents.
    static let latentsCount = 4 * 2 * 2

    private static let digest = String(repeating: "0", count: 64)
    private static let latents = [1, 4, 2, 2]
    private static let image = [1, 3, 16, 16]

    /// A pipeline that runs it on components that wait.
    static func pipeline(
        _ durations: WaitingBackend.Durations, starts: WaitingBackend.Starts? = nil, keepsEveryFrame: Bool = true
    ) throws -> EditPipeline<WaitingBackend> {
        var options = EditPipeline<WaitingBackend>.Options()
        options.keepsEveryFrame = keepsEveryFrame
        let backend = WaitingBackend(durations, latentsCount: latentsCount, starts: starts)
        return try EditPipeline(
            manifest: try manifest(), tokenizer: try tokenizer(), backend: backend, options: options)
    }

    /// A tokenizer of single letters: prompts of other letters have other ids.
    static func tokenizer() throws -> CLIPTokenizer {
        let letters = (UInt8(ascii: "a")...UInt8(ascii: "z")).map { String(UnicodeScalar($0)) }
        let tokens = letters + letters.map { "\($0)</w>" } + ["<|startoftext|>", "<|endoftext|>"]
        let vocabulary = Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, $0) })
        return try CLIPTokenizer(vocabulary: [UInt8](JSONEncoder().encode(vocabulary)), merges: [])
    }

    /// What its `mobie.json` would say.
    static func manifest() throws -> ModelManifest {
        let states = tensor("text_states", [1, 8, 1, 77])
        let conditioning = [tensor("shifts", [1, 8, 1, 1]), tensor("text_kv", [1, 8, 1, 77])]
        let components: JSON = [
            "TextEncoder": component("TextEncoder", [tensor("input_ids", [1, 77], "int32", "prompt")], [states]),
            "Conditioner": component(
                "Conditioner",
                [
                    from("text_encoder", states), tensor("timestep", [1], "float32", "schedule"),
                    tensor("text_guidance", [1], "float32", "guidance"),
                    tensor("image_guidance", [1], "float32", "guidance"),
                ], conditioning),
            "Encoder": component(
                "Encoder", [tensor("frame", image, "image", "frame")], [tensor("image_latents", latents)]),
            "Denoiser": component(
                "Denoiser",
                [
                    tensor("image_latents", latents, "float16", "latents"),
                    tensor("noisy_latents", latents, "float16", "noise"),
                ] + conditioning.map { from("conditioner", $0) }, [tensor("denoised_latents", latents)]),
            "Decoder": component(
                "Decoder", [tensor("denoised_latents", latents, "float16", "latents")],
                [tensor("edited_frame", image, "image")]),
        ]
        let gate: JSON = ["fp32": 50, "fp16": 40, "reason": ""]
        let document: JSON = [
            "schema_version": ModelManifest.schemaVersion, "method": method,
            "frame": ["width": 16, "height": 16] as JSON,
            "latents": ["shape": latents, "pixels_per_latent": 8, "scaling_factor": 1] as JSON,
            "noise": [
                "generator": "philox4x32-10", "transform": "box-muller", "dtype": "float16", "stream": 0,
                "frame_stride": 1 << 32,
            ] as JSON,
            "schedule": [
                "sampler": "euler", "steps": [["timestep": 999, "x0": 1, "latents": 0, "noise": 0] as JSON],
            ] as JSON,
            "components": components,
            "tokenizer": [
                "kind": "clip-bpe", "positions": 77, "vocabulary_size": 54,
                "files": [file("tokenizer/merges.txt"), file("tokenizer/vocab.json")],
            ] as JSON,
            "gates": ["components": components.mapValues { _ in gate } as JSON, "edit": gate] as JSON,
            "provenance": [
                "checkpoint_sha256": digest, "preset": "simulated", "licence": "Apache-2.0", "origin": [:] as JSON,
                "tools": ["mobie-bench": "1"] as JSON,
            ] as JSON,
        ]
        return try ModelManifest(parsing: [UInt8](JSONSerialization.data(withJSONObject: document)))
    }

    private static var method: JSON {
        let scale: JSON = ["minimum": 1, "maximum": 14, "default": 7.5]
        return [
            "prediction_type": "v_prediction",
            "noise_schedule": [
                "kind": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "train_timesteps": 1000,
            ] as JSON,
            "guidance": [
                "kind": "embedded", "text": scale, "image": scale,
                "passes": [
                    ["text": true, "image": true, "weight": ["constant": 1, "text": 0, "image": 0] as JSON] as JSON
                ],
            ] as JSON,
        ]
    }

    private static func component(_ name: String, _ inputs: [JSON], _ outputs: [JSON]) -> JSON {
        [
            "file": "\(name).mlpackage", "form": "package", "sha256": digest,
            "files": [file("\(name).mlpackage/Manifest.json")], "inputs": inputs, "outputs": outputs,
            "compute_units": "all", "arithmetic": "fp16", "attention": "", "weight_bits": 16, "weight_bytes": 0,
            "deployment_target": "iOS17", "macos_only": false, "reuse_key": digest,
        ]
    }

    private static func file(_ path: String) -> JSON {
        ["path": path, "sha256": digest, "bytes": 1]
    }

    private static func tensor(
        _ name: String, _ shape: [Int], _ type: String = "float16", _ source: String = ""
    ) -> JSON {
        ["name": name, "shape": shape, "dtype": type, "source": source, "meaning": "The \(name)."]
    }

    /// A component's output as another's input.
    private static func from(_ source: String, _ output: JSON) -> JSON {
        output.merging(["source": source]) { $1 }
    }
}
