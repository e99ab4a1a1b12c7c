import Foundation

/// How much the long tests do: a sample, or with MOBIE_SLOW=1 (`make test-slow`) all of it.
enum Effort {
    private static let environment = ProcessInfo.processInfo.environment

    static let isSlow = environment["MOBIE_SLOW"] == "1"

    static func count(sample: Int, slow: Int) -> Int { isSlow ? slow : sample }

    /// One seed, which MOBIE_SEED repeats and which is printed; new in every slow run.
    static func seed(of test: String) -> UInt64 {
        let fresh = isSlow ? UInt64.random(in: 0...UInt64(UInt32.max)) : 1
        let seed = environment["MOBIE_SEED"].flatMap(UInt64.init) ?? fresh
        print("\(test): MOBIE_SEED=\(seed)")
        return seed
    }
}
