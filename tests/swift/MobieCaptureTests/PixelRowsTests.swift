import MobieCore
import MobiePixels
import Testing

struct PixelRowsTests {
    @Test func rowsMayHavePadding() throws {
        let image = try #require(
            InterleavedImage(width: 2, height: 3, channels: 4, bytes: (0..<24).map { UInt8($0) }))
        let rows = PixelRows(width: 2, height: 3, bytesPerRow: 12)
        var memory = [UInt8](repeating: 255, count: 36)
        memory.withUnsafeMutableBytes { rows.write(image, to: $0) }
        #expect(Array(memory[12..<24]) == [8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255])
        #expect(memory.withUnsafeBytes { rows.image(from: $0) } == image)
        // The last row needs no padding.
        #expect(memory[..<32].withUnsafeBytes { rows.image(from: $0) } == image)
        #expect(memory[..<31].withUnsafeBytes { rows.image(from: $0) } == nil)
        let narrow = PixelRows(width: 4, height: 1, bytesPerRow: 12)
        #expect(memory.withUnsafeBytes { narrow.image(from: $0) } == nil)
    }

    @Test func errorsSayWhatToDo() {
        let size = FrameSize(width: 4, height: 2)
        let errors: [PixelError] = [
            .noBuffers(-6662), .format(0x3432_3076), .format(1), .unreadable, .size(found: size, expected: size),
        ]
        #expect(errors[1].errorDescription?.contains("'420v'") == true)
        #expect(errors[2].errorDescription?.contains("'1'") == true)
        #expect(errors.allSatisfy { $0.errorDescription != nil && $0.recoverySuggestion != nil })
    }
}
