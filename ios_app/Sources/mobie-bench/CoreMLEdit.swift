import Foundation
import MobieClip
import MobieCore
import MobieCoreML

/// `--coreml`: edits a clip with Core ML, and says how long every stage took and where operations are to run.
enum CoreMLEdit {
    static let usage = """
          mobie-bench --coreml --model FOLDER --clip IN --out OUT --prompt TEXT [--statistics FILE.json]
                      [--text-guidance S] [--image-guidance S] [--compute-units UNITS] [--cache FOLDER]
                      [--frames N] [--seed N] [--fit cover|contain|stretch] [--force]
        """

    /// What is asked for.
    struct Request: Equatable {
        let model: URL
        let input: URL
        let output: URL
        let instruction: EditInstruction
        let common: Arguments.Common
        let computeUnits: ComputeUnitChoice
        let cache: URL
    }

    static func run(_ arguments: inout Arguments) async throws {
        let request = try read(&arguments)
        #if canImport(CoreML) && canImport(AVFoundation)
            let folder = try ModelFolder.open(request.model)
            let records = request.cache.appendingPathComponent("records", isDirectory: true)
            try FileManager.default.createDirectory(at: records, withIntermediateDirectories: true)
            let compiled = request.cache.appendingPathComponent("compiled", isDirectory: true)
            let places = ModelStarter<CoreMLRuntime>.Places(
                cache: CompiledModelCache(folder: compiled), records: records)
            var work = CoreMLClipEdit(
                input: request.input, output: request.output, instruction: request.instruction)
            (work.seed, work.fit) = (request.common.seed, request.common.fit)
            (work.limit, work.replaces) = (request.common.frames, request.common.replaces)
            work.computeUnits = request.computeUnits
            let edit = work
            let report = try await Output.result {
                try await edit.run(model: folder, places: places) { done in
                    if done % 10 == 0 { printError("\(done) frames") }
                }
            }
            try Output.write(report, to: request.common.statistics)
            for note in [report.explanation, report.noComputePlan].compactMap(\.self) { printError("Note: \(note)") }
        #else
            throw NoCoreML(request: request)
        #endif
    }

    /// Reads all arguments, and refuses what is wrong with them.
    static func read(_ arguments: inout Arguments) throws(UsageError) -> Request {
        let model = URL(fileURLWithPath: try arguments.required("--model"), isDirectory: true)
        let input = URL(fileURLWithPath: try arguments.required("--clip"))
        let output = URL(fileURLWithPath: try arguments.required("--out"))
        let instruction = try arguments.takeInstruction()
        let units = try arguments.takeChoice("--compute-units", of: ModelComponent.ComputeUnits.self)
        let cache = try arguments.takeValue("--cache").map { URL(fileURLWithPath: $0, isDirectory: true) }
        let common = try arguments.takeCommon()
        try arguments.checkEmpty()
        return Request(
            model: model, input: input, output: output, instruction: instruction, common: common,
            computeUnits: ComputeUnitChoice(units), cache: cache ?? standardCache)
    }

    /// Where compiled models stay between runs.
    private static var standardCache: URL {
        let found = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
        return (found ?? FileManager.default.temporaryDirectory).appendingPathComponent("mobie-bench")
    }
}

/// `--coreml` was asked for where there is no Core ML.
struct NoCoreML: LocalizedError {
    /// What was asked for.
    let request: CoreMLEdit.Request

    var errorDescription: String? { "There is no Core ML on this system; --coreml runs on macOS." }
    var recoverySuggestion: String? {
        "Let `mobie serve` run the components: mobie-bench --process --model \(request.model.relativePath) "
            + "--clip \(request.input.relativePath) --out \(request.output.relativePath) --prompt ..."
    }
}
