import Foundation

/// A file that is written under another name beside its place and moved there when it is whole.
struct RecordingFile: Sendable, Equatable {
    /// Where it belongs.
    let destination: URL
    /// Where it is written.
    let temporary: URL
    private let replaces: Bool

    /// A file that is not there yet.
    ///
    /// - Throws: `CaptureError.exists` where there is one that may not be replaced, `CaptureError.unwritable` where its
    ///   folder is not there.
    init(_ destination: URL, replaces: Bool) throws(CaptureError) {
        var isFolder: ObjCBool = false
        let folder = destination.deletingLastPathComponent()
        guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw .unwritable("there is no folder \(folder.path).")
        }
        let found = FileManager.default.fileExists(atPath: destination.path, isDirectory: &isFolder)
        if found && (!replaces || isFolder.boolValue) { throw .exists(destination.lastPathComponent) }
        self.destination = destination
        self.replaces = replaces
        temporary = folder.appendingPathComponent(".\(UUID().uuidString)-\(destination.lastPathComponent)")
    }

    /// Moves the whole file into place.
    ///
    /// - Throws: `CaptureError.exists` where one came meanwhile, `CaptureError.unwritable`.
    func commit() throws(CaptureError) {
        let files = FileManager.default
        do {
            if replaces {
                // Replaces what is there in one step.
                guard rename(temporary.path, destination.path) == 0 else {
                    throw CaptureError.unwritable("\(String(cString: strerror(errno))).")
                }
            } else if files.fileExists(atPath: destination.path) {
                throw CaptureError.exists(destination.lastPathComponent)
            } else {
                try files.moveItem(at: temporary, to: destination)
            }
        } catch {
            discard()
            throw error as? CaptureError ?? .unwritable(error.localizedDescription)
        }
    }

    /// Removes what was written.
    func discard() {
        // Where it never came into being there is nothing to remove.
        try? FileManager.default.removeItem(at: temporary)
    }
}
