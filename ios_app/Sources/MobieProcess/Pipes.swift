#if os(macOS) || os(Linux)
    import Dispatch
    import Foundation

    /// Writes to a pipe beside its caller, in order: what the other side does not read waits here and blocks nobody.
    final class PipeWriter: Sendable {
        private let descriptor: Int32
        private let queue = DispatchQueue(label: "mobie.pipe.write")

        /// Owns the descriptor from now on.
        init(_ descriptor: Int32) {
            self.descriptor = descriptor
        }

        /// Writes later; where nobody reads any more, nothing is written.
        func write(_ bytes: [UInt8]) {
            queue.async { [descriptor] in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
                    if count < 0 && errno == EINTR { continue }
                    if count <= 0 { return }
                    rest = rest.dropFirst(count)
                }
            }
        }

        /// Closes the pipe after everything is written. Nothing may be written afterwards.
        func close() {
            queue.async { [descriptor] in _ = Foundation.close(descriptor) }
        }
    }

    /// Reads a pipe on a thread of its own until it ends or `take` has enough, then closes it.
    ///
    /// - Parameters:
    ///   - descriptor: Owned from now on.
    ///   - initial: What `take` keeps from piece to piece.
    ///   - take: Takes a piece, empty at the end; answers whether it wants more.
    func readPipe<State: Sendable>(
        _ descriptor: Int32, _ initial: State, take: @escaping @Sendable (inout State, ArraySlice<UInt8>) -> Bool
    ) {
        DispatchQueue(label: "mobie.pipe.read").async {
            var state = initial
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = piece.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress, $0.count) }
                if count < 0 && errno == EINTR { continue }
                let wantsMore = take(&state, piece[..<max(0, count)])
                if count <= 0 || !wantsMore { break }
            }
            _ = Foundation.close(descriptor)
        }
    }
#endif
