import Foundation
import MobieCore
import Testing

@testable import MobieCapture

struct RecordingTests {
    @Test func timesGrowFromTheFirstFrame() {
        var timeline = RecordingTimeline()
        #expect(timeline.place(5_000) == 0)
        timeline.take(5_000)
        #expect(timeline.end(single: 33) == 33)
        #expect(timeline.place(5_000) == nil)
        #expect(timeline.place(4_000) == nil)
        #expect(timeline.place(5_040) == 40)
        timeline.take(5_040)
        timeline.take(5_010)
        timeline.take(5_100)
        #expect((timeline.frames, timeline.last) == (3, 100))
        #expect(timeline.end(single: 33) == 160)
        timeline.drop()
        #expect(timeline.dropped == 1)
        var early = RecordingTimeline()
        early.take(.min)
        #expect(early.place(.max) == nil)
    }

    @Test func aFileAppearsWhenItIsWhole() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mobie-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }
        let clip = folder.appendingPathComponent("clip.mp4")
        let first = try RecordingFile(clip, replaces: false)
        try Data("one".utf8).write(to: first.temporary)
        #expect(first.temporary.lastPathComponent.hasPrefix("."))
        #expect(first.temporary.pathExtension == "mp4")
        #expect(!FileManager.default.fileExists(atPath: clip.path))
        try first.commit()
        #expect(try names() == ["clip.mp4"])
        #expect(throws: CaptureError.exists("clip.mp4")) { try RecordingFile(clip, replaces: false) }
        let second = try RecordingFile(clip, replaces: true)
        try Data("two".utf8).write(to: second.temporary)
        try second.commit()
        #expect(try String(contentsOf: clip, encoding: .utf8) == "two")
        // Nothing was written: nothing appears, and what was there stays.
        let third = try RecordingFile(clip, replaces: true)
        #expect { try third.commit() } throws: {
            if case .unwritable = $0 as? CaptureError { true } else { false }
        }
        #expect(try String(contentsOf: clip, encoding: .utf8) == "two")
        let fourth = try RecordingFile(folder.appendingPathComponent("other.mov"), replaces: false)
        try Data("three".utf8).write(to: fourth.temporary)
        try Data("meanwhile".utf8).write(to: fourth.destination)
        #expect(throws: CaptureError.exists("other.mov")) { try fourth.commit() }
        #expect(try names().sorted() == ["clip.mp4", "other.mov"])
    }

    @Test func aPlaceThatCannotHoldAFileIsRefused() throws {
        let nowhere = URL(fileURLWithPath: "/does/not/exist/clip.mp4")
        #expect { try RecordingFile(nowhere, replaces: true) } throws: {
            if case .unwritable = $0 as? CaptureError { true } else { false }
        }
        let folder = FileManager.default.temporaryDirectory
        #expect { try RecordingFile(folder, replaces: true) } throws: {
            if case .exists = $0 as? CaptureError { true } else { false }
        }
    }

    @Test func encodingsAndContainers() {
        let size = FrameSize(width: 1280, height: 720)
        #expect(VideoEncoding(codec: .h264).standardBitRate(size) == 3_456_000)
        #expect(VideoEncoding(codec: .hevc).standardBitRate(size) == 2_304_000)
        #expect(VideoEncoding(expectedFrameRate: 0).standardBitRate(FrameSize(width: 64, height: 64)) == 200_000)
        #expect(VideoEncoding.Container(of: URL(fileURLWithPath: "/a/b.MOV")) == .mov)
        #expect(VideoEncoding.Container(of: URL(fileURLWithPath: "/a/b.mp4")) == .mp4)
        #expect(VideoEncoding.Container(of: URL(fileURLWithPath: "/a/b.avi")) == nil)
    }
}
