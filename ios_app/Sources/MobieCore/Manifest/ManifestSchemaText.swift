// Made by scripts/make_vectors.py from mobie_coreml/manifest/schema.json.
// swift-format-ignore-file

/// The published JSON Schema of `mobie.json`.
let manifestSchemaText = #"""
{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:mobie:model-folder:2",
  "title": "mobie model folder",
  "description": "Contents of mobie.json, the contract between the converter and every host that runs a model. Nothing beyond what is listed here may appear, except below `extensions`.",
  "type": "object",
  "required": ["schema_version", "method", "frame", "latents", "noise", "schedule", "components", "tokenizer", "gates", "provenance"],
  "additionalProperties": false,
  "properties": {
    "schema_version": {"const": 2},
    "method": {
      "type": "object",
      "required": ["prediction_type", "noise_schedule", "guidance"],
      "additionalProperties": false,
      "properties": {
        "prediction_type": {"enum": ["epsilon", "v_prediction", "sample"]},
        "noise_schedule": {
          "type": "object",
          "required": ["kind", "beta_start", "beta_end", "train_timesteps"],
          "additionalProperties": false,
          "properties": {
            "kind": {"const": "scaled_linear"},
            "beta_start": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "beta_end": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "train_timesteps": {"type": "integer", "minimum": 1, "maximum": 100000}
          }
        },
        "guidance": {
          "type": "object",
          "required": ["kind", "text", "image", "passes"],
          "additionalProperties": false,
          "properties": {
            "kind": {"enum": ["embedded", "three-pass"]},
            "text": {"$ref": "#/$defs/scale_range"},
            "image": {"$ref": "#/$defs/scale_range"},
            "passes": {"type": "array", "minItems": 1, "maxItems": 8, "items": {"$ref": "#/$defs/pass"}}
          }
        }
      }
    },
    "frame": {
      "type": "object",
      "required": ["width", "height"],
      "additionalProperties": false,
      "properties": {"width": {"$ref": "#/$defs/pixels"}, "height": {"$ref": "#/$defs/pixels"}}
    },
    "latents": {
      "type": "object",
      "required": ["shape", "pixels_per_latent", "scaling_factor"],
      "additionalProperties": false,
      "properties": {
        "shape": {"$ref": "#/$defs/shape", "minItems": 4, "maxItems": 4},
        "pixels_per_latent": {"type": "integer", "minimum": 1, "maximum": 64},
        "scaling_factor": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
      }
    },
    "noise": {
      "type": "object",
      "required": ["generator", "transform", "dtype", "stream", "frame_stride"],
      "additionalProperties": false,
      "properties": {
        "generator": {"const": "philox4x32-10"},
        "transform": {"const": "box-muller"},
        "dtype": {"const": "float16"},
        "stream": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
        "frame_stride": {"type": "integer", "minimum": 0, "maximum": 9007199254740991}
      }
    },
    "schedule": {
      "type": "object",
      "required": ["sampler", "steps"],
      "additionalProperties": false,
      "properties": {
        "sampler": {"enum": ["euler", "ddim", "lcm"]},
        "steps": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/$defs/step"}}
      }
    },
    "components": {
      "type": "object",
      "minProperties": 1,
      "additionalProperties": false,
      "properties": {
        "TextEncoder": {"$ref": "#/$defs/component"},
        "Conditioner": {"$ref": "#/$defs/component"},
        "Encoder": {"$ref": "#/$defs/component"},
        "Denoiser": {"$ref": "#/$defs/component"},
        "Decoder": {"$ref": "#/$defs/component"}
      }
    },
    "tokenizer": {
      "type": "object",
      "required": ["kind", "positions", "vocabulary_size", "files"],
      "additionalProperties": false,
      "properties": {
        "kind": {"const": "clip-bpe"},
        "positions": {"type": "integer", "minimum": 3, "maximum": 4096},
        "vocabulary_size": {"type": "integer", "minimum": 3, "maximum": 1000000},
        "files": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/$defs/file"}}
      }
    },
    "gates": {
      "type": "object",
      "required": ["components", "edit"],
      "additionalProperties": false,
      "properties": {
        "components": {
          "type": "object",
          "additionalProperties": false,
          "properties": {
            "TextEncoder": {"$ref": "#/$defs/gate"},
            "Conditioner": {"$ref": "#/$defs/gate"},
            "Encoder": {"$ref": "#/$defs/gate"},
            "Denoiser": {"$ref": "#/$defs/gate"},
            "Decoder": {"$ref": "#/$defs/gate"}
          }
        },
        "edit": {"$ref": "#/$defs/gate"}
      }
    },
    "provenance": {
      "type": "object",
      "required": ["checkpoint_sha256", "preset", "licence", "origin", "tools"],
      "additionalProperties": false,
      "properties": {
        "checkpoint_sha256": {"$ref": "#/$defs/sha256"},
        "preset": {"type": "string", "minLength": 1, "maxLength": 100},
        "licence": {"type": "string", "maxLength": 1000},
        "origin": {"type": "object", "description": "What the checkpoint says about itself; any content."},
        "tools": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 200}}
      }
    },
    "extensions": {
      "type": "object",
      "description": "Anything that other tools add, by name. Readers ignore what they don't know here, and only here."
    }
  },
  "$defs": {
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64},
    "pixels": {"type": "integer", "minimum": 1, "maximum": 16384},
    "coefficient": {"type": "number", "minimum": -1000000, "maximum": 1000000},
    "shape": {
      "type": "array",
      "minItems": 1,
      "maxItems": 5,
      "items": {"type": "integer", "minimum": 1, "maximum": 1048576}
    },
    "scale_range": {
      "type": "object",
      "required": ["minimum", "maximum", "default"],
      "additionalProperties": false,
      "properties": {
        "minimum": {"$ref": "#/$defs/coefficient"},
        "maximum": {"$ref": "#/$defs/coefficient"},
        "default": {"$ref": "#/$defs/coefficient"}
      }
    },
    "pass": {
      "type": "object",
      "description": "One Denoiser run of a step. Its weight is constant + text * s_T + image * s_I.",
      "required": ["text", "image", "weight"],
      "additionalProperties": false,
      "properties": {
        "text": {"type": "boolean", "description": "With the prompt; otherwise with the empty one."},
        "image": {"type": "boolean", "description": "With the frame's latents; otherwise with zeros."},
        "weight": {
          "type": "object",
          "required": ["constant", "text", "image"],
          "additionalProperties": false,
          "properties": {
            "constant": {"$ref": "#/$defs/coefficient"},
            "text": {"$ref": "#/$defs/coefficient"},
            "image": {"$ref": "#/$defs/coefficient"}
          }
        }
      }
    },
    "step": {
      "type": "object",
      "description": "next latents = x0 * estimate + latents * latents + noise * fresh noise",
      "required": ["timestep", "x0", "latents", "noise"],
      "additionalProperties": false,
      "properties": {
        "timestep": {"type": "integer", "minimum": 0, "maximum": 99999},
        "x0": {"$ref": "#/$defs/coefficient"},
        "latents": {"$ref": "#/$defs/coefficient"},
        "noise": {"$ref": "#/$defs/coefficient"}
      }
    },
    "file": {
      "type": "object",
      "required": ["path", "sha256", "bytes"],
      "additionalProperties": false,
      "properties": {
        "path": {"type": "string", "minLength": 1, "maxLength": 500},
        "sha256": {"$ref": "#/$defs/sha256"},
        "bytes": {"type": "integer", "minimum": 0, "maximum": 1099511627776}
      }
    },
    "tensor": {
      "type": "object",
      "required": ["name", "shape", "dtype", "source", "meaning"],
      "additionalProperties": false,
      "properties": {
        "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$(?!\\n)", "maxLength": 200},
        "shape": {"$ref": "#/$defs/shape"},
        "dtype": {"enum": ["int32", "float16", "float32", "image"]},
        "source": {
          "enum": ["", "frame", "noise", "conditioner", "latents", "prompt", "text_encoder", "schedule", "guidance", "anchor"],
          "description": "Where a host takes an input from: the camera or clip; noise, then the step's latents; the Conditioner's output of the same name; the latents of that name; the tokenizer; the TextEncoder's output; the step's timestep; the user's scale. Empty for outputs."
        },
        "meaning": {"type": "string", "maxLength": 1000},
        "minimum": {"type": "number", "minimum": -1e9, "maximum": 1e9},
        "maximum": {"type": "number", "minimum": -1e9, "maximum": 1e9}
      }
    },
    "component": {
      "type": "object",
      "required": ["file", "form", "sha256", "files", "inputs", "outputs", "compute_units", "arithmetic", "attention", "weight_bits", "weight_bytes", "deployment_target", "macos_only", "reuse_key"],
      "additionalProperties": false,
      "properties": {
        "file": {"type": "string", "pattern": "^[A-Za-z0-9_-]+\\.(mlpackage|mlmodelc)$", "maxLength": 200},
        "form": {"enum": ["package", "compiled"]},
        "sha256": {
          "$ref": "#/$defs/sha256",
          "description": "SHA-256 of the text of one line a file, `digest  path`, paths from the package, sorted. Of a compiled model: that of the package it was compiled from."
        },
        "files": {"type": "array", "minItems": 1, "maxItems": 10000, "items": {"$ref": "#/$defs/file"}},
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/$defs/tensor"}},
        "outputs": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/$defs/tensor"}},
        "compute_units": {"enum": ["all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine"]},
        "arithmetic": {"enum": ["fp16", "fp32"]},
        "attention": {"enum": ["", "original", "split-einsum", "split-einsum-v2"]},
        "weight_bits": {
          "type": "number",
          "exclusiveMinimum": 0,
          "maximum": 32,
          "description": "Stored bits a weight, on average over all weights, tables included."
        },
        "weight_bytes": {"type": "integer", "minimum": 0, "maximum": 1099511627776},
        "deployment_target": {"enum": ["iOS17", "iOS18"]},
        "macos_only": {"type": "boolean"},
        "reuse_key": {"$ref": "#/$defs/sha256"},
        "palettes": {"$ref": "#/$defs/palettes"}
      }
    },
    "palettes": {
      "type": "object",
      "description": "How the weights were palettized; absent where they are fp16.",
      "required": ["recipe", "recipe_sha256", "tensors"],
      "additionalProperties": false,
      "properties": {
        "recipe": {"type": "string", "minLength": 1, "maxLength": 300},
        "recipe_sha256": {"$ref": "#/$defs/sha256", "description": "Of what the recipe says of this component."},
        "tensors": {"type": "integer", "minimum": 1, "maximum": 1000000},
        "snr_db": {
          "type": "number",
          "minimum": -1000,
          "maximum": 1000,
          "description": "Energy over squared error of each palettized tensor, on average over their weights; absent without error."
        }
      }
    },
    "gate": {
      "type": "object",
      "description": "Lowest PSNR in dB that passes: of the conversion, by the executor's precision, and of the package as it is where its weights have palettes.",
      "required": ["fp32", "fp16"],
      "additionalProperties": false,
      "properties": {
        "fp32": {"type": "number", "exclusiveMinimum": 0, "maximum": 200},
        "fp16": {"type": "number", "exclusiveMinimum": 0, "maximum": 200},
        "palettized": {"type": "number", "exclusiveMinimum": 0, "maximum": 200},
        "reason": {"type": "string", "maxLength": 1000, "description": "Why a number is below the default of fp16 weights."}
      }
    }
  }
}
"""#
