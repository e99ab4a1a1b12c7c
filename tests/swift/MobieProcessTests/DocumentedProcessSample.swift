#if os(macOS) || os(Linux)
    import MobieCore
    import MobieProcess

    import struct Foundation.URL

    /// The sample of docs/process-backend.md: it has to compile, and needs a model folder to run.
    func editOnAServer(_ url: URL) async throws -> ClipEdit.Report {
        // docs/process-backend.md from here
        let model = try ModelFolder.open(url)
        let command = try ServerCommand.serve(model: model.url)
        let report = try await ServerConnection.with(command) { connection in
            let instruction = EditInstruction(prompt: "make it snow")
            let edit = ClipEdit(input: "in.mp4", output: "out.mp4", instruction: instruction)
            return try await edit.run(model: model, connection: connection)
        }
        // to here
        return report
    }
#endif
