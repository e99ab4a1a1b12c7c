import MobieCore

/// Prompts that the tokenizer does in a second, on one processor.
enum TokenizerFigure {
    private static let goal = 5_000.0
    private static let prompts = [
        "make it snow", "in Monet style", "turn the sky into a sunset", "make him look like a marble statue",
        "as a pencil drawing, black and white", "What would it look like at night?", "add fireworks to the sky",
        "It's raining; make the street wet", "Replace the bikes with horses", "comme une aquarelle à l'été",
        "turn this into a scene from a 1920s film, with grain, scratches and a soft vignette around the edges",
    ]

    static func measure(_ tokenizer: CLIPTokenizer) -> Simulation.Figure {
        let clock = ContinuousClock()
        var count = 0
        let start = clock.now
        repeat {
            for prompt in prompts where (try? tokenizer.encode(prompt)) != nil { count += 1 }
        } while clock.now - start < .seconds(2)
        let rate = Double(count) / seconds(clock.now - start)
        return Simulation.Figure(
            name: "tokenizer", value: rate, unit: "prompts/s", goal: ">= 5000", isMet: rate >= goal,
            detail: "\(prompts.count) prompts, again and again")
    }
}

/// A duration in seconds.
func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
}
