// Written by hand from the documentation at the addresses below; only what this project uses, and nothing runs.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

@_exported import CoreVideo
import Foundation

/// https://developer.apple.com/documentation/coreml/mlmodel
@available(iOS 11.0, macOS 10.13, *)
// Not Sendable: the documentation names no such conformance.
public class MLModel: NSObject {
    /// https://developer.apple.com/documentation/coreml/mlmodel/compilemodel(at:)-45ao6
    @available(iOS 16.0, macOS 13.0, *)
    public class func compileModel(at url: URL) async throws -> URL { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmodel/load(contentsof:configuration:)
    @available(iOS 15.0, macOS 12.0, *)
    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmodel/prediction(from:options:)-3vg03
    @available(iOS 17.0, macOS 14.0, *)
    public func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider { fatalError() }
}

/// https://developer.apple.com/documentation/coreml/mlmodelconfiguration
@available(iOS 12.0, macOS 10.14, *)
public class MLModelConfiguration: NSObject {
    /// https://developer.apple.com/documentation/objectivec/nsobject-swift.class/init()
    @available(iOS 2.0, macOS 10.0, *)
    public override init() { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmodelconfiguration/computeunits
    @available(iOS 12.0, macOS 10.14, *)
    public var computeUnits: MLComputeUnits {
        get { fatalError() }
        set { fatalError() }
    }
    /// https://developer.apple.com/documentation/coreml/mlmodelconfiguration/functionname
    @available(iOS 18.0, macOS 15.0, *)
    public var functionName: String? {
        get { fatalError() }
        set { fatalError() }
    }
}

/// https://developer.apple.com/documentation/coreml/mlcomputeunits
@available(iOS 12.0, macOS 10.14, *)
public enum MLComputeUnits: Int, Sendable {
    /// https://developer.apple.com/documentation/coreml/mlcomputeunits/cpuonly
    @available(iOS 12.0, macOS 10.14, *)
    case cpuOnly = 0
    /// https://developer.apple.com/documentation/coreml/mlcomputeunits/cpuandgpu
    @available(iOS 12.0, macOS 10.14, *)
    case cpuAndGPU = 1
    /// https://developer.apple.com/documentation/coreml/mlcomputeunits/all
    @available(iOS 12.0, macOS 10.14, *)
    case all = 2
    /// https://developer.apple.com/documentation/coreml/mlcomputeunits/cpuandneuralengine
    @available(iOS 16.0, macOS 13.0, *)
    case cpuAndNeuralEngine = 3
}

/// https://developer.apple.com/documentation/coreml/mlpredictionoptions
@available(iOS 11.0, macOS 10.13, *)
public class MLPredictionOptions: NSObject {
    /// https://developer.apple.com/documentation/objectivec/nsobject-swift.class/init()
    @available(iOS 2.0, macOS 10.0, *)
    public override init() { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlpredictionoptions/outputbackings
    @available(iOS 16.0, macOS 11.0, *)
    public var outputBackings: [String: Any] {
        get { fatalError() }
        set { fatalError() }
    }
}

/// https://developer.apple.com/documentation/coreml/mlfeatureprovider
@available(iOS 11.0, macOS 10.13, *)
public protocol MLFeatureProvider {
    /// https://developer.apple.com/documentation/coreml/mlfeatureprovider/featurevalue(for:)
    @available(iOS 11.0, macOS 10.13, *)
    func featureValue(for featureName: String) -> MLFeatureValue?
}

/// https://developer.apple.com/documentation/coreml/mldictionaryfeatureprovider
@available(iOS 11.0, macOS 10.13, *)
public class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    /// https://developer.apple.com/documentation/coreml/mldictionaryfeatureprovider/init(dictionary:)
    @available(iOS 11.0, macOS 10.13, *)
    public init(dictionary: [String: Any]) throws { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlfeatureprovider/featurevalue(for:)
    @available(iOS 11.0, macOS 10.13, *)
    public func featureValue(for featureName: String) -> MLFeatureValue? { fatalError() }
}

/// https://developer.apple.com/documentation/coreml/mlfeaturevalue
@available(iOS 11.0, macOS 10.13, *)
public class MLFeatureValue: NSObject {
    /// https://developer.apple.com/documentation/coreml/mlfeaturevalue/init(multiarray:)
    @available(iOS 11.0, macOS 10.13, *)
    public init(multiArray value: MLMultiArray) { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlfeaturevalue/init(pixelbuffer:)
    @available(iOS 11.0, macOS 10.13, *)
    public init(pixelBuffer value: CVPixelBuffer) { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlfeaturevalue/multiarrayvalue
    @available(iOS 11.0, macOS 10.13, *)
    public var multiArrayValue: MLMultiArray? { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlfeaturevalue/imagebuffervalue
    @available(iOS 11.0, macOS 10.13, *)
    public var imageBufferValue: CVPixelBuffer? { fatalError() }
}

/// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype
@available(iOS 11.0, macOS 10.13, *)
public enum MLMultiArrayDataType: Int, Sendable {
    /// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype/double
    @available(iOS 11.0, macOS 10.13, *)
    case double = 0x10040
    /// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype/float32
    @available(iOS 11.0, macOS 10.13, *)
    case float32 = 0x10020
    /// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype/float16
    @available(iOS 16.0, macOS 12.0, *)
    case float16 = 0x10010
    /// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype/int32
    @available(iOS 11.0, macOS 10.13, *)
    case int32 = 0x20020
}

/// https://developer.apple.com/documentation/coreml/mlmultiarray
@available(iOS 11.0, macOS 10.13, *)
// Not Sendable: the documentation names no such conformance.
public class MLMultiArray: NSObject {
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/init(shape:datatype:)
    @available(iOS 11.0, macOS 10.13, *)
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/init(pixelbuffer:shape:)
    @available(iOS 16.0, macOS 12.0, *)
    public init(pixelBuffer: CVPixelBuffer, shape: [NSNumber]) { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/shape
    @available(iOS 11.0, macOS 10.13, *)
    public var shape: [NSNumber] { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/strides
    @available(iOS 11.0, macOS 10.13, *)
    public var strides: [NSNumber] { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/datatype
    @available(iOS 11.0, macOS 10.13, *)
    public var dataType: MLMultiArrayDataType { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/pixelbuffer
    @available(iOS 16.0, macOS 12.0, *)
    public var pixelBuffer: CVPixelBuffer? { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/withunsafebytes(_:)
    @available(iOS 15.4, macOS 12.3, *)
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { fatalError() }
    /// https://developer.apple.com/documentation/coreml/mlmultiarray/withunsafemutablebytes(_:)
    @available(iOS 15.4, macOS 12.3, *)
    public func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R
    ) rethrows -> R { fatalError() }
}
