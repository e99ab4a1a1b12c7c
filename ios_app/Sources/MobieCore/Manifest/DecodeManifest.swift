extension ModelManifest {
    /// The manifest of an object that has the schema's form.
    static func decode(_ members: JSONObject) throws(ManifestError) -> ModelManifest {
        let fields = ManifestFields(members: members, path: "")
        let frame = try fields.inside("frame")
        let noise = try fields.inside("noise")
        let schedule = try fields.inside("schedule")
        let components = try fields.inside("components")
        return ModelManifest(
            method: try fields.part("method"),
            frame: FrameSize(width: try frame.integer("width"), height: try frame.integer("height")),
            latents: try fields.part("latents"),
            noise: NoiseInfo(stream: try noise.integer("stream"), frameStride: try noise.integer("frame_stride")),
            schedule: StepSchedule(sampler: try schedule.choice("sampler"), steps: try schedule.parts("steps")),
            components: try componentNames(components).map { name throws(ManifestError) in
                try ModelComponent(name, try components.inside(name.rawValue))
            },
            tokenizer: try fields.part("tokenizer"),
            gates: try fields.part("gates"),
            provenance: try fields.part("provenance"),
            extensions: fields.has("extensions") ? try fields.object("extensions") : JSONObject())
    }
}

/// Names of components that an object has, in its order.
private func componentNames(_ fields: ManifestFields) -> [ComponentName] {
    fields.members.names.compactMap(ComponentName.init(rawValue:))
}

extension EditMethod: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        let schedule = try fields.inside("noise_schedule")
        let guidance = try fields.inside("guidance")
        predictionType = try fields.choice("prediction_type")
        noiseSchedule = NoiseSchedule(
            betaStart: try schedule.double("beta_start"), betaEnd: try schedule.double("beta_end"),
            trainTimesteps: try schedule.integer("train_timesteps"))
        self.guidance = Guidance(
            kind: try guidance.choice("kind"), text: try guidance.part("text"), image: try guidance.part("image"),
            passes: try guidance.parts("passes"))
    }
}

extension ScaleRange: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        minimum = try fields.double("minimum")
        maximum = try fields.double("maximum")
        standard = try fields.double("default")
    }
}

extension GuidancePass: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        let terms = try fields.inside("weight")
        usesText = try fields.bool("text")
        usesImage = try fields.bool("image")
        weight = PassWeight(
            constant: try terms.double("constant"), text: try terms.double("text"), image: try terms.double("image"))
    }
}

extension LatentsInfo: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        shape = try fields.integers("shape")
        pixelsPerLatent = try fields.integer("pixels_per_latent")
        scalingFactor = try fields.double("scaling_factor")
    }
}

extension ScheduleStep: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        timestep = try fields.integer("timestep")
        estimate = try fields.double("x0")
        latents = try fields.double("latents")
        noise = try fields.double("noise")
    }
}

extension FileRecord: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        path = try fields.string("path")
        sha256 = try fields.string("sha256")
        bytes = try fields.integer("bytes")
    }
}

extension TokenizerInfo: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        positions = try fields.integer("positions")
        vocabularySize = try fields.integer("vocabulary_size")
        files = try fields.parts("files")
    }
}

extension ParityGate: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        fp32 = try fields.double("fp32")
        fp16 = try fields.double("fp16")
        palettized = try fields.optionalDouble("palettized")
        reason = fields.has("reason") ? try fields.string("reason") : ""
    }
}

extension ParityGates: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        let inner = try fields.inside("components")
        var found: [ComponentName: ParityGate] = [:]
        for name in componentNames(inner) { found[name] = try inner.part(name.rawValue) }
        components = found
        edit = try fields.part("edit")
    }
}

extension Provenance: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        let made = try fields.inside("tools")
        var versions: [String: String] = [:]
        for name in made.members.names { versions[name] = try made.string(name) }
        checkpointSHA256 = try fields.string("checkpoint_sha256")
        preset = try fields.string("preset")
        licence = try fields.string("licence")
        origin = try fields.object("origin")
        tools = versions
    }
}

extension ModelComponent {
    fileprivate init(_ name: ComponentName, _ fields: ManifestFields) throws(ManifestError) {
        self.name = name
        file = try fields.string("file")
        form = try fields.choice("form")
        sha256 = try fields.string("sha256")
        files = try fields.parts("files")
        inputs = try fields.parts("inputs")
        outputs = try fields.parts("outputs")
        computeUnits = try fields.choice("compute_units")
        arithmetic = try fields.choice("arithmetic")
        attention = try fields.choice("attention")
        weightBits = try fields.double("weight_bits")
        weightBytes = try fields.integer("weight_bytes")
        deploymentTarget = try fields.choice("deployment_target")
        isMacOSOnly = try fields.bool("macos_only")
        reuseKey = try fields.string("reuse_key")
        palettes = fields.has("palettes") ? try fields.part("palettes") : nil
    }
}

extension Palettes: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        recipe = try fields.string("recipe")
        recipeSHA256 = try fields.string("recipe_sha256")
        tensors = try fields.integer("tensors")
        snrDB = try fields.optionalDouble("snr_db")
    }
}

extension TensorInfo: ManifestPart {
    init(_ fields: ManifestFields) throws(ManifestError) {
        name = try fields.string("name")
        shape = try fields.integers("shape")
        elementType = try fields.choice("dtype")
        source = try fields.choice("source")
        meaning = try fields.string("meaning")
        minimum = try fields.optionalDouble("minimum")
        maximum = try fields.optionalDouble("maximum")
    }
}
