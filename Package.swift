// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "mobie",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "MobieCore", targets: ["MobieCore"]),
        .library(name: "MobieCoreML", targets: ["MobieCoreML", "MobiePixels"]),
        .library(name: "MobieCapture", targets: ["MobieCapture", "MobiePixels"]),
        .library(name: "MobieClip", targets: ["MobieClip"]),
        .executable(name: "mobie-bench", targets: ["mobie-bench"]),
    ],
    targets: [
        .target(name: "MobieCore", path: "ios_app/Sources/MobieCore"),
        .target(name: "MobiePixels", dependencies: ["MobieCore"], path: "ios_app/Sources/MobiePixels"),
        .target(
            name: "MobieCoreML", dependencies: ["MobieCore", "MobiePixels"], path: "ios_app/Sources/MobieCoreML"),
        .target(
            name: "MobieCapture", dependencies: ["MobieCore", "MobiePixels"], path: "ios_app/Sources/MobieCapture"),
        .target(
            name: "MobieClip", dependencies: ["MobieCore", "MobieCoreML", "MobieCapture", "MobiePixels"],
            path: "ios_app/Sources/MobieClip"),
        .target(name: "MobieProcess", dependencies: ["MobieCore"], path: "ios_app/Sources/MobieProcess"),
        .executableTarget(
            name: "mobie-bench", dependencies: ["MobieClip", "MobieCore", "MobieCoreML", "MobieProcess"],
            path: "ios_app/Sources/mobie-bench"),
        .testTarget(name: "MobieCoreTests", dependencies: ["MobieCore"], path: "tests/swift/MobieCoreTests"),
        .testTarget(
            name: "MobieCoreMLTests", dependencies: ["MobieCoreML", "MobieCapture", "MobiePixels"],
            path: "tests/swift/MobieCoreMLTests"),
        .testTarget(
            name: "MobieCaptureTests", dependencies: ["MobieCapture", "MobiePixels"],
            path: "tests/swift/MobieCaptureTests"),
        .testTarget(
            name: "MobieClipTests",
            dependencies: ["MobieClip", "MobieCapture", "MobieCore", "MobieCoreML", "MobiePixels"],
            path: "tests/swift/MobieClipTests"),
        .testTarget(
            name: "MobieBenchTests", dependencies: ["mobie-bench", "MobieCore", "MobieCoreML"],
            path: "tests/swift/MobieBenchTests"),
        .testTarget(
            name: "MobieProcessTests", dependencies: ["MobieProcess"], path: "tests/swift/MobieProcessTests"),
    ],
    swiftLanguageModes: [.v6]
)
