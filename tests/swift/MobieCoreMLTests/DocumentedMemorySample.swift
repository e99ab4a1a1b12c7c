import Foundation
import MobieCore
import MobieCoreML

/// The sample of ThreadingAndMemory.md that gives a model up and starts it again.
func giveUp<Runtime: ModelRuntime>(
    _ given: EditSession<Runtime.Backend>, of starter: ModelStarter<Runtime>, model url: URL
) async throws -> EditSession<Runtime.Backend>? {
    var session: EditSession<Runtime.Backend>? = given
    // ThreadingAndMemory.md from here
    await session?.stop()
    session = nil
    await starter.suspend(.memory)
    // Later: loads and warms up again; compiles only what the caches lost.
    session = try EditSession(model: url, backend: try await starter.resume())
    // to here
    return session
}
