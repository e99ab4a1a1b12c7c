// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.

import CoreGraphics
import Foundation

/// https://developer.apple.com/documentation/swiftui/view
@available(iOS 13.0, macOS 10.15, *)
@MainActor
@preconcurrency
public protocol View {
    /// https://developer.apple.com/documentation/swiftui/view/body-swift.associatedtype
    @available(iOS 13.0, macOS 10.15, *)
    associatedtype Body: View
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    @ViewBuilder
    var body: Body { get }
}

extension View {
    /// https://developer.apple.com/documentation/swiftui/view/scaledtofit()
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated func scaledToFit() -> some View { self }
    /// https://developer.apple.com/documentation/swiftui/view/onsubmit(of:_:)
    @available(iOS 15.0, macOS 12.0, *)
    public nonisolated func onSubmit(_ action: @escaping () -> Void) -> some View { self }
    /// https://developer.apple.com/documentation/swiftui/view/task(priority:_:)
    @available(iOS 15.0, macOS 12.0, *)
    public nonisolated func task(_ action: @escaping @Sendable () async -> Void) -> some View { self }
}

// Views that SwiftUI draws itself have no body.
extension Never: View {
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

// Optional content of a builder is a view where the content is one.
extension Optional: View where Wrapped: View {
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/viewbuilder
@available(iOS 13.0, macOS 10.15, *)
@resultBuilder
public struct ViewBuilder {
    /// https://developer.apple.com/documentation/swiftui/viewbuilder/buildblock(_:)
    @available(iOS 13.0, macOS 10.15, *)
    public static func buildBlock<Content: View>(_ content: Content) -> Content { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/viewbuilder/buildblock(_:)
    @available(iOS 13.0, macOS 10.15, *)
    public static func buildBlock<each Content: View>(
        _ content: repeat each Content
    ) -> TupleView<(repeat each Content)> { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/viewbuilder/buildif(_:)
    @available(iOS 13.0, macOS 10.15, *)
    public static func buildIf<Content: View>(_ content: Content?) -> Content? { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/tupleview
@available(iOS 13.0, macOS 10.15, *)
public struct TupleView<Content>: View {
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/state
@available(iOS 13.0, macOS 10.15, *)
@propertyWrapper
public struct State<Value> {
    /// https://developer.apple.com/documentation/swiftui/state/init(wrappedvalue:)
    @available(iOS 13.0, macOS 10.15, *)
    public init(wrappedValue: Value) { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/state/wrappedvalue
    @available(iOS 13.0, macOS 10.15, *)
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set { fatalError() }
    }
    /// https://developer.apple.com/documentation/swiftui/state/projectedvalue
    @available(iOS 13.0, macOS 10.15, *)
    public var projectedValue: Binding<Value> { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/binding
@available(iOS 13.0, macOS 10.15, *)
public struct Binding<Value> {}

/// https://developer.apple.com/documentation/swiftui/vstack
@available(iOS 13.0, macOS 10.15, *)
public struct VStack<Content: View>: View {
    /// https://developer.apple.com/documentation/swiftui/vstack/init(alignment:spacing:content:)
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated init(@ViewBuilder content: () -> Content) { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/image
@available(iOS 13.0, macOS 10.15, *)
public struct Image: View {
    /// https://developer.apple.com/documentation/swiftui/image/init(decorative:scale:orientation:)
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated init(decorative cgImage: CGImage, scale: CGFloat) { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/image/resizable(capinsets:resizingmode:)
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated func resizable() -> Image { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/text
@available(iOS 13.0, macOS 10.15, *)
public struct Text: View {
    /// https://developer.apple.com/documentation/swiftui/text/init(_:)-9d1g4
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated init<S: StringProtocol>(_ content: S) { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/localizedstringkey
@available(iOS 13.0, macOS 10.15, *)
public struct LocalizedStringKey: ExpressibleByStringLiteral {
    /// https://developer.apple.com/documentation/swiftui/localizedstringkey/init(stringliteral:)
    @available(iOS 13.0, macOS 10.15, *)
    public init(stringLiteral value: String) { fatalError() }
}

/// https://developer.apple.com/documentation/swiftui/textfield
@available(iOS 13.0, macOS 10.15, *)
// Apple's is generic over its label.
public struct TextField: View {
    /// https://developer.apple.com/documentation/swiftui/textfield/init(_:text:)
    @available(iOS 13.0, macOS 10.15, *)
    public nonisolated init(_ titleKey: LocalizedStringKey, text: Binding<String>) { fatalError() }
    /// https://developer.apple.com/documentation/swiftui/view/body-8kl5o
    @available(iOS 13.0, macOS 10.15, *)
    public var body: Never { fatalError() }
}
