import Foundation
import MobieCore

/// What the pipeline adds to the time that components take.
enum PipelineFigures {
    typealias Figure = Simulation.Figure
    private typealias Pipeline = EditPipeline<WaitingBackend>

    /// Stages of 10, 60 and 12 ms: the slowest alone decides the rate.
    static func throughput() async throws -> [Figure] {
        let durations = WaitingBackend.Durations(
            encoder: .milliseconds(10), denoiser: .milliseconds(60), decoder: .milliseconds(12))
        let report = try await stream(SimulatedModel.pipeline(durations), frames: 200)
        let rate = report.throughput ?? 0
        let slowest = report.latencies["denoiser"]?.mean ?? 0
        let ratio = rate * 0.060
        return [
            Figure(
                name: "throughput, stages of 10, 60, 12 ms", value: ratio, unit: "of the slowest stage's rate",
                goal: ">= 0.95", isMet: ratio >= 0.95,
                detail: "\(Simulation.rounded(rate)) frames/s; the slowest took \(Simulation.rounded(slowest)) ms")
        ]
    }

    /// Three stages of 20 ms against the same in turn.
    static func overlap() async throws -> [Figure] {
        let stage = Duration.milliseconds(20)
        let durations = WaitingBackend.Durations(encoder: stage, denoiser: stage, decoder: stage)
        let single = try SimulatedModel.pipeline(durations)
        try await single.change(EditInstruction(prompt: "snow"))
        let count = 100
        let clock = ContinuousClock()
        let start = clock.now
        for number in 0..<count { _ = try await single.edit(number) }
        let inTurn = Double(count) / seconds(clock.now - start)
        let rate = try await stream(SimulatedModel.pipeline(durations), frames: 2 * count).throughput ?? 0
        let ratio = rate / inTurn
        return [
            Figure(
                name: "three stages of 20 ms", value: ratio, unit: "times in turn", goal: ">= 2.7",
                isMet: ratio >= 2.7,
                detail: "\(Simulation.rounded(rate)) against \(Simulation.rounded(inTurn)) frames/s")
        ]
    }

    /// From a change to the Denoiser's start on the first frame with it, while frames stream.
    static func promptChange() async throws -> [Figure] {
        let durations = WaitingBackend.Durations(
            textEncoder: .milliseconds(30), conditioner: .milliseconds(10), encoder: .milliseconds(10),
            denoiser: .milliseconds(60), decoder: .milliseconds(12))
        let starts = WaitingBackend.Starts()
        let pipeline = try SimulatedModel.pipeline(durations, starts: starts, keepsEveryFrame: false)
        let session = EditSession(pipeline: pipeline)
        try await session.change(to: "a")
        let camera = Task {
            while !Task.isCancelled {
                await session.submit(0)
                try await Task.sleep(for: .milliseconds(16))
            }
        }
        let changes = 24
        let asked = Task {
            var times: [(asked: Int64, conditioned: Int64, prompt: String)] = []
            for letter in (UInt8(ascii: "b")...UInt8(ascii: "z")).prefix(changes) {
                try await Task.sleep(for: .milliseconds(290 + Int(letter) % 7 * 9))
                let prompt = String(UnicodeScalar(letter))
                let before = MonotonicClock.nanoseconds()
                try await session.change(to: prompt)
                times.append((before, MonotonicClock.nanoseconds(), prompt))
            }
            try await Task.sleep(for: .milliseconds(300))
            camera.cancel()
            await session.finish()
            return times
        }
        var shown: [String: Int64] = [:]
        for await edited in session.frames where shown[edited.instruction.prompt] == nil {
            shown[edited.instruction.prompt] = MonotonicClock.nanoseconds()
        }
        let interval = 1e3 / ((await session.statistics).throughput ?? .nan)
        let tokenizer = try SimulatedModel.tokenizer()
        var excesses: [Double] = []
        var totals: [Double] = []
        for (asked, conditioned, prompt) in try await asked.value {
            let started = await starts.time(of: try tokenizer.encode(prompt).ids)
            guard let started, let delivered = shown[prompt] else { throw UnseenPrompt(prompt: prompt) }
            excesses.append(Double(started - conditioned) / 1e6)
            totals.append(Double(delivered - asked) / 1e6)
        }
        let worst = excesses.max() ?? .nan
        let mean = totals.reduce(0, +) / Double(totals.count)
        return [
            Figure(
                name: "prompt change to its first frame", value: worst / interval,
                unit: "frames beyond the conditioning", goal: "<= 1", isMet: worst <= interval,
                detail: "worst of \(changes), to the Denoiser's start; from the change to the edited frame "
                    + "\(Simulation.rounded(mean)) ms on average, \(Simulation.rounded(totals.max() ?? .nan)) at worst, "
                    + "40 of them conditioning")
        ]
    }

    /// Components that take no time: what is left is the pipeline's own, and must not grow.
    static func longRun(frames: Int) async throws -> [Figure] {
        let early = try await stream(SimulatedModel.pipeline(.init()), frames: frames / 10)
        let before = PeakMemory.bytes
        let clock = ContinuousClock()
        let start = clock.now
        let report = try await stream(SimulatedModel.pipeline(.init()), frames: frames)
        let overhead = seconds(clock.now - start) * 1e3 / Double(report.delivered)
        let growth = Double(PeakMemory.bytes - before) / Double(1 << 20)
        return [
            Figure(
                name: "overhead a frame", value: overhead, unit: "ms", goal: "< 0.5", isMet: overhead < 0.5,
                detail: "\(report.delivered) frames through stages that take no time"),
            Figure(
                name: "memory after \(early.delivered) to \(report.delivered) frames", value: growth,
                unit: "MiB more at the peak", goal: "< 8", isMet: growth < 8,
                detail: "\(PeakMemory.bytes >> 20) MiB in all"),
        ]
    }

    /// A prompt's frame never came.
    private struct UnseenPrompt: LocalizedError {
        let prompt: String
        var errorDescription: String? { "No frame came with the prompt '\(prompt)'." }
        var recoverySuggestion: String? { "Measure again when the machine has less to do." }
    }

    /// Sends frames in turn and reads every result.
    private static func stream(_ pipeline: Pipeline, frames: Int) async throws -> FrameStatistics.Report {
        try await pipeline.change(EditInstruction(prompt: "snow"))
        let feeder = Task {
            for number in 0..<frames { try await pipeline.submitInTurn(number) }
            await pipeline.finish()
        }
        for await outcome in pipeline.outcomes {
            if case .failed(let failure) = outcome { throw failure }
        }
        try await feeder.value
        return await pipeline.statistics
    }
}

/// The most memory that the process ever had.
enum PeakMemory {
    static var bytes: Int {
        var usage = rusage()
        #if canImport(Darwin)
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #else
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            // Linux counts in KiB.
            return usage.ru_maxrss << 10
        #endif
    }
}
