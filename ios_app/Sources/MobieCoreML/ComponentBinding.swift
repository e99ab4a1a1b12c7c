import MobieCore

/// What a component's inputs take, found from the manifest: hosts pass values by what they are, packages name them.
struct ComponentBinding: Sendable, Equatable {
    /// What a host has to give.
    enum Role: Hashable, Sendable {
        case ids, textStates, timestep, textGuidance, imageGuidance, frame
        /// Latents of the frame.
        case imageLatents
        /// Latents of the step.
        case latents
        /// The Conditioner's output of that name.
        case conditioning(String)
    }

    /// The component.
    let component: ModelComponent
    /// Names of inputs by what they take.
    let names: [Role: String]

    /// The inputs of a component.
    ///
    /// - Throws: `ModelFailure` where an input takes what no host here has, one that must be there is not, or a
    ///   component has not the one output that is taken.
    init(_ component: ModelComponent) throws(ModelFailure) {
        self.component = component
        var names: [Role: String] = [:]
        for input in component.inputs {
            guard let role = Self.role(of: input, in: component.name) else {
                throw ModelFailure(
                    .unsupported,
                    "\(component.name.rawValue) takes \(input.name) (\(input.source.rawValue)), which is not known here."
                )
            }
            guard names.updateValue(input.name, forKey: role) == nil else {
                throw ModelFailure(.damaged, "\(component.name.rawValue) takes \(input.source.rawValue) twice.")
            }
        }
        self.names = names
        for role in Self.required(component.name) where names[role] == nil {
            throw ModelFailure(.damaged, "\(component.name.rawValue) has no input for the \(role).")
        }
        if component.outputs.isEmpty {
            throw ModelFailure(.damaged, "\(component.name.rawValue) has no output.")
        }
        // Of several outputs only the Conditioner's are told apart.
        if component.outputs.count > 1 && component.name != .conditioner {
            throw ModelFailure(
                .damaged, "\(component.name.rawValue) has \(component.outputs.count) outputs instead of 1.")
        }
    }

    /// Values by the names of inputs; values that the component does not take are left out.
    ///
    /// - Throws: `ModelFailure` where an input gets no value.
    func inputs<Value>(_ values: [Role: Value]) throws(ModelFailure) -> [String: Value] {
        var named: [String: Value] = [:]
        for (role, name) in names {
            guard let value = values[role] else {
                throw ModelFailure(.inference, "\(component.name.rawValue) got no \(name).")
            }
            named[name] = value
        }
        return named
    }

    private static func role(of input: TensorInfo, in component: ComponentName) -> Role? {
        switch input.source {
        case .prompt: .ids
        case .textEncoder: .textStates
        case .schedule: .timestep
        case .guidance:
            switch input.name {
            case "text_guidance": .textGuidance
            case "image_guidance": .imageGuidance
            default: nil
            }
        case .frame: .frame
        case .noise: .latents
        case .latents: component == .denoiser ? .imageLatents : .latents
        case .conditioner: .conditioning(input.name)
        case .anchor, .output: nil
        }
    }

    private static func required(_ component: ComponentName) -> [Role] {
        switch component {
        case .textEncoder: [.ids]
        case .conditioner: [.textStates]
        case .encoder: [.frame]
        case .denoiser, .decoder: [.latents]
        }
    }
}
