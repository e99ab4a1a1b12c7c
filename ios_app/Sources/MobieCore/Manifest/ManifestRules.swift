/// A contradiction in a manifest: the field, and what is wrong with it.
struct Contradiction: Equatable {
    let field: String
    let what: String

    init(_ field: String, _ what: String) {
        self.field = field
        self.what = what
    }
}

/// What a manifest must say beyond its form: fields that speak of the same thing agree.
extension ModelManifest {
    private static let tokenizerFiles = ["tokenizer/merges.txt", "tokenizer/vocab.json"]
    private static let latentNames: Set<String> = ["image_latents", "noisy_latents", "denoised_latents"]
    private static let denseBits = 16.0

    /// The first contradiction, in a fixed order of checks; nil where there is none.
    func firstContradiction() -> Contradiction? {
        let checks: [() -> Contradiction?] = [
            method.contradiction, sizes, steps, each, flow, tokenizerFileNames, paths, gateNames, gatePalettes,
        ]
        for check in checks {
            if let found = check() { return found }
        }
        return nil
    }

    private func sizes() -> Contradiction? {
        if latents.shape[0] != 1 { return Contradiction("latents.shape", "a batch of \(latents.shape[0])") }
        let (height, width, factor) = (latents.shape[2], latents.shape[3], latents.pixelsPerLatent)
        guard width * factor != frame.width || height * factor != frame.height else { return nil }
        return Contradiction(
            "latents.shape",
            "\(width)x\(height) latents of \(factor) pixels are not a frame of \(frame.width)x\(frame.height)")
    }

    private func steps() -> Contradiction? {
        var previous = method.noiseSchedule.trainTimesteps
        for (index, step) in schedule.steps.enumerated() {
            if step.timestep >= previous {
                let bound = index == 0 ? "below \(previous)" : "below the step before (\(previous))"
                return Contradiction("schedule.steps[\(index)].timestep", "\(step.timestep) is not \(bound)")
            }
            previous = step.timestep
        }
        return nil
    }

    private func each() -> Contradiction? {
        for component in components {
            if let found = component.contradiction() { return found }
            if component.palettes == nil && component.weightBits < Self.denseBits {
                let field = "components.\(component.name.rawValue).weight_bits"
                return Contradiction(field, "\(component.weightBits) without palettes")
            }
        }
        return nil
    }

    /// Tensors that go from one component to another, or come from the frame, have one shape.
    private func flow() -> Contradiction? {
        let image = [1, 3, frame.height, frame.width]
        var made: [String: (maker: ComponentName, tensor: TensorInfo)] = [:]
        for component in components {
            for tensor in component.outputs where !Self.latentNames.contains(tensor.name) {
                made[tensor.name] = (component.name, tensor)
            }
        }
        for component in components {
            for (field, tensor) in component.tensors {
                let field = "\(field).shape"
                if tensor.elementType == .image && tensor.shape != image {
                    return Contradiction(field, "\(tensor.shape) is not the frame's \(image)")
                }
                if Self.latentNames.contains(tensor.name) && tensor.shape != latents.shape {
                    return Contradiction(field, "\(tensor.shape) is not the latents' \(latents.shape)")
                }
                if let source = made[tensor.name],
                    source.tensor.shape != tensor.shape || source.tensor.elementType != tensor.elementType
                {
                    let found = "\(tensor.shape) \(tensor.elementType.rawValue)"
                    return Contradiction(field, "\(found) is not what \(source.maker.rawValue) makes")
                }
            }
        }
        guard let conditioner = self[.conditioner] else { return nil }
        let takesGuidance = conditioner.inputs.contains { $0.source == .guidance }
        guard (method.guidance.kind == .embedded) != takesGuidance else { return nil }
        let what = "\(method.guidance.kind.rawValue), which is not what the Conditioner's inputs say"
        return Contradiction("method.guidance.kind", what)
    }

    private func tokenizerFileNames() -> Contradiction? {
        let found = tokenizer.files.map(\.path).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard !found.elementsEqual(Self.tokenizerFiles, by: { $0.isExactly($1) }) else { return nil }
        let wanted = Self.tokenizerFiles.joined(separator: ", ")
        return Contradiction("tokenizer.files", "\(found.joined(separator: ", ")) instead of \(wanted)")
    }

    private func paths() -> Contradiction? {
        var seen: Set<ExactString> = []
        for (field, files) in allFiles {
            for (index, file) in files.enumerated() {
                let field = "\(field)[\(index)].path"
                if !isSafePath(file.path) {
                    return Contradiction(field, "'\(file.path)' leads out of the folder or is not portable")
                }
                // Some file systems take names that differ in case alone for the same.
                if !seen.insert(ExactString(caseFolded(file.path))).inserted {
                    return Contradiction(field, "\(file.path) appears twice")
                }
            }
        }
        return nil
    }

    private func gateNames() -> Contradiction? {
        let absent = Set(gates.components.keys).symmetricDifference(components.map(\.name))
        guard !absent.isEmpty else { return nil }
        let names = absent.map(\.rawValue).sorted().joined(separator: ", ")
        return Contradiction("gates.components", "\(names) in one of gates and components only")
    }

    private func gatePalettes() -> Contradiction? {
        for component in components {
            let gated = gates.components[component.name]?.palettized != nil
            if gated != (component.palettes != nil) {
                let field = "gates.components.\(component.name.rawValue).palettized"
                return Contradiction(field, gated ? "no palettes there" : "none, but palettes there")
            }
        }
        let palettized = components.contains { $0.palettes != nil }
        guard (gates.edit.palettized != nil) != palettized else { return nil }
        let what = palettized ? "none, but palettes in the components" : "no palettes in the components"
        return Contradiction("gates.edit.palettized", what)
    }
}

extension EditMethod {
    fileprivate func contradiction() -> Contradiction? {
        if noiseSchedule.betaStart > noiseSchedule.betaEnd {
            return Contradiction("method.noise_schedule.beta_start", "larger than beta_end")
        }
        for (name, scale) in [("text", guidance.text), ("image", guidance.image)]
        where !(scale.minimum <= scale.standard && scale.standard <= scale.maximum) {
            let what = "the default \(scale.standard) is outside \(scale.minimum) to \(scale.maximum)"
            return Contradiction("method.guidance.\(name)", what)
        }
        if guidance.kind == .embedded && guidance.passes.count != 1 {
            let what = "\(guidance.passes.count) passes where guidance is embedded"
            return Contradiction("method.guidance.passes", what)
        }
        let terms: [(KeyPath<PassWeight, Double>, Double)] = [(\.constant, 1), (\.text, 0), (\.image, 0)]
        for (term, wanted) in terms
        where abs(compensatedSum(guidance.passes.map { $0.weight[keyPath: term] }) - wanted) > 1e-9 {
            return Contradiction("method.guidance.passes", "the weights do not sum to 1")
        }
        return nil
    }
}

extension ModelComponent {
    /// Inputs, then outputs, each with its field.
    fileprivate var tensors: [(field: String, tensor: TensorInfo)] {
        let kinds = [("inputs", inputs), ("outputs", outputs)]
        return kinds.flatMap { kind, tensors in
            tensors.enumerated().map { ("components.\(name.rawValue).\(kind)[\($0)]", $1) }
        }
    }

    fileprivate func contradiction() -> Contradiction? {
        let field = "components.\(name.rawValue)"
        let wanted = name.rawValue + form.suffix
        if !file.isExactly(wanted) { return Contradiction("\(field).file", "\(file) instead of \(wanted)") }
        for (index, record) in files.enumerated() where !record.path.utf8.starts(with: "\(wanted)/".utf8) {
            return Contradiction("\(field).files[\(index)].path", "\(record.path) is not in \(wanted)")
        }
        for (kind, tensors) in [("inputs", inputs), ("outputs", outputs)] {
            if Set(tensors.map(\.name)).count != tensors.count {
                return Contradiction("\(field).\(kind)", "a name appears twice")
            }
            for (index, tensor) in tensors.enumerated() {
                if let found = tensor.contradiction("\(field).\(kind)[\(index)]", isInput: kind == "inputs") {
                    return found
                }
            }
        }
        let tooLarge = weightBits > Self.macOSOnlyBits && weightBytes > Self.macOSOnlyBytes
        guard name == .denoiser && tooLarge && !isMacOSOnly else { return nil }
        return Contradiction("\(field).macos_only", "false for \(weightBytes) bytes of \(weightBits)-bit weights")
    }
}

extension TensorInfo {
    fileprivate func contradiction(_ field: String, isInput: Bool) -> Contradiction? {
        if (source != .output) != isInput {
            let what = "'\(source.rawValue)' for an \(isInput ? "input" : "output")"
            return Contradiction("\(field).source", what)
        }
        if let minimum, let maximum, minimum > maximum {
            return Contradiction("\(field).minimum", "larger than the maximum")
        }
        if elementType == .image && (shape.count != 4 || shape[0] != 1 || shape[1] != 3) {
            return Contradiction("\(field).shape", "\(shape) is not an RGB image (1, 3, height, width)")
        }
        return nil
    }
}

/// The sum with the rounding errors added back (Neumaier 1974): large terms that cancel leave nothing behind.
func compensatedSum(_ terms: [Double]) -> Double {
    var sum = 0.0
    var lost = 0.0
    for term in terms {
        let next = sum + term
        lost += abs(sum) >= abs(term) ? (sum - next) + term : (term - next) + sum
        sum = next
    }
    return sum + lost
}
