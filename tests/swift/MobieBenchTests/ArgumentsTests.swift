import Foundation
import MobieCore
import MobieCoreML
import Testing

@testable import mobie_bench

@Suite("The bench's command line")
struct ArgumentsTests {
    private static let least = ["--model", "m", "--clip", "a.mp4", "--out", "b.mp4", "--prompt", "make it snow"]

    private func read(_ more: [String], from given: [String] = least) throws -> CoreMLEdit.Request {
        var arguments = Arguments(given + more)
        return try CoreMLEdit.read(&arguments)
    }

    @Test("has usual values for what is left out")
    func usual() throws {
        let request = try read([])
        #expect(request.instruction == EditInstruction(prompt: "make it snow"))
        #expect((request.common.frames, request.common.seed) == (nil, 0))
        #expect((request.common.fit, request.common.replaces) == (.cover, false))
        #expect(request.common.statistics == nil)
        #expect(request.computeUnits == ComputeUnitChoice())
        #expect(request.input.lastPathComponent == "a.mp4" && request.output.lastPathComponent == "b.mp4")
    }

    @Test("takes everything, in any order")
    func everything() throws {
        let request = try read([
            "--force", "--compute-units", "cpuAndGPU", "--image-guidance", "1.5", "--frames", "12", "--seed",
            "18446744073709551615", "--fit", "contain", "--text-guidance", "2", "--cache", "c",
        ])
        #expect(request.instruction.textGuidance == 2 && request.instruction.imageGuidance == 1.5)
        #expect((request.common.frames, request.common.seed) == (12, .max))
        #expect((request.common.fit, request.common.replaces) == (.contain, true))
        #expect(request.computeUnits == ComputeUnitChoice(.cpuAndGPU))
        #expect(request.cache.lastPathComponent == "c")
    }

    @Test(
        "is refused with one sentence where it is wrong",
        arguments: [
            (["--frames", "0"], "--frames takes a whole number"),
            (["--seed"], "--seed needs a value"),
            (["--seed", "-1"], "--seed takes a whole number"),
            (["--seed", "x"], "--seed takes a whole number"),
            (["--fit", "crop"], "--fit takes one of cover"),
            (["--compute-units", "ane"], "--compute-units takes one of"),
            (["--text-guidance", "much"], "--text-guidance takes a number"),
            (["--text-guidance", "nan"], "--text-guidance takes a number"),
            (["--statistics", "/absent/folder/x.json"], "/absent/folder is no folder"),
            (["--server", "mobie"], "'--server' is not known here"),
            (["more"], "'more' is not known here"),
        ])
    func wrong(more: [String], problem: String) {
        let error = #expect(throws: UsageError.self) { try read(more) }
        #expect(error?.problem.contains(problem) == true)
    }

    @Test("names what is missing", arguments: ["--model", "--clip", "--out", "--prompt"])
    func missing(name: String) throws {
        var given = Self.least
        let index = try #require(given.firstIndex(of: name))
        given.removeSubrange(index...index + 1)
        let error = #expect(throws: UsageError.self) { try read([], from: given) }
        #expect(error?.problem == "\(name) is missing.")
    }

    #if !canImport(CoreML)
        @Test("says where there is no Core ML, and writes nothing")
        func elsewhere() async {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
            var arguments = Arguments(Self.least + ["--cache", folder.path])
            do {
                try await CoreMLEdit.run(&arguments)
                Issue.record("It ran.")
            } catch {
                let hint = (error as? NoCoreML)?.recoverySuggestion
                #expect(hint?.contains("--process --model m --clip a.mp4 --out b.mp4") == true)
            }
            #expect(!FileManager.default.fileExists(atPath: folder.path))
        }
    #endif

    @Test("a file that is there is only replaced when asked for")
    func replaced() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).json")
        try Data("{}".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let error = #expect(throws: UsageError.self) { try read(["--statistics", file.path]) }
        #expect(error?.problem.contains("exists already") == true)
        #expect(try read(["--statistics", file.path, "--force"]).common.statistics?.path == file.path)
    }
}
