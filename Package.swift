// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "mobie",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "MobieCore", targets: ["MobieCore"])
    ],
    targets: [
        .target(name: "MobieCore", path: "ios_app/Sources/MobieCore"),
        .testTarget(name: "MobieCoreTests", dependencies: ["MobieCore"], path: "tests/swift/MobieCoreTests"),
    ],
    swiftLanguageModes: [.v6]
)
