import Foundation
import MobieCore

/// `--simulate`: the pipeline's own figures on real threads and real time, with components that only wait, as a model
/// on the Neural Engine lets the processor wait.
enum Simulation {
    static let usage = """
          mobie-bench --simulate [--json] [--frames N] [--vocabulary FOLDER]
            The pipeline's own figures, with components that only wait.
            --frames N           of the long run (1000000)
            --vocabulary FOLDER  with vocab.json and merges.txt (mobie_coreml/models/vocabulary)
        """

    /// One figure beside what it should be.
    struct Figure: Encodable {
        let name: String
        let value: Double
        let unit: String
        /// What it should be.
        let goal: String
        let isMet: Bool
        /// What else was seen.
        let detail: String
    }

    private struct Report: Encodable {
        let figures: [Figure]
        let system: String
        let processors: Int
        let isOptimized: Bool
    }

    static func run(_ arguments: inout Arguments) async throws {
        let isJSON = arguments.takeFlag("--json")
        let frames = try arguments.takeInteger("--frames", in: 10_000...1_000_000_000) ?? 1_000_000
        let vocabulary = try arguments.takeValue("--vocabulary") ?? "mobie_coreml/models/vocabulary"
        try arguments.checkEmpty()
        let tokenizer = try readTokenizer(vocabulary)

        var figures: [Figure] = []
        let measurements: [(String, () async throws -> [Figure])] = [
            ("throughput", PipelineFigures.throughput), ("overlap", PipelineFigures.overlap),
            ("prompt change", PipelineFigures.promptChange),
            ("tokenizer", { [TokenizerFigure.measure(tokenizer)] }),
            ("long run", { try await PipelineFigures.longRun(frames: frames) }),
        ]
        for (name, measure) in measurements {
            printError("measuring: \(name)")
            figures += try await measure()
        }
        let report = Report(
            figures: figures, system: ProcessInfo.processInfo.operatingSystemVersionString,
            processors: ProcessInfo.processInfo.activeProcessorCount, isOptimized: isOptimized)
        if isJSON {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
            printTable(report)
        }
    }

    private static func readTokenizer(_ folder: String) throws -> CLIPTokenizer {
        let url = URL(fileURLWithPath: folder)
        let contents = try ["vocab.json", "merges.txt"].map { name in
            guard let data = try? Data(contentsOf: url.appendingPathComponent(name)) else {
                throw UsageError("\(folder) has no \(name); give a folder that has it with --vocabulary.")
            }
            return [UInt8](data)
        }
        return try CLIPTokenizer(vocabulary: contents[0], merges: contents[1])
    }

    /// Whether the compiler left out the checks of a debug build.
    private static var isOptimized: Bool {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }())
        return !isDebug
    }

    private static func printTable(_ report: Report) {
        let rows =
            [["figure", "value", "goal", "met", ""]]
            + report.figures.map {
                [$0.name, "\(rounded($0.value)) \($0.unit)", $0.goal, $0.isMet ? "yes" : "NO", $0.detail]
            }
        let widths = (0..<4).map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            print((cells + [row[4]]).joined(separator: "  "))
        }
        let build = report.isOptimized ? "release" : "debug: figures of the processor are of no use"
        print("\n\(report.system), \(report.processors) processors, \(build)")
    }

    /// Three digits that count.
    static func rounded(_ value: Double) -> String {
        let digits = value == 0 || !value.isFinite ? 0 : max(0, 2 - Int(floor(log10(abs(value)))))
        return String(format: "%.\(digits)f", value)
    }
}
