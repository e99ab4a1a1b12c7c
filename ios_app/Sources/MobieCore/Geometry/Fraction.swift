/// A rational number in lowest terms, for positions that must be exact.
public struct Fraction: Sendable, Hashable, Comparable {
    /// With the fraction's sign.
    public let numerator: Int
    /// Always positive.
    public let denominator: Int

    /// - Precondition: `denominator` is not 0.
    public init(_ numerator: Int, _ denominator: Int = 1) {
        precondition(denominator != 0, "A fraction needs a denominator other than 0.")
        let divisor = Self.greatestCommonDivisor(abs(numerator), abs(denominator)) * (denominator < 0 ? -1 : 1)
        self.numerator = numerator / divisor
        self.denominator = denominator / divisor
    }

    /// The nearest double.
    public var value: Double { Double(numerator) / Double(denominator) }

    /// The sum; exact.
    public static func + (left: Fraction, right: Int) -> Fraction {
        Fraction(left.numerator + right * left.denominator, left.denominator)
    }

    /// The difference; exact.
    public static func - (left: Fraction, right: Int) -> Fraction {
        left + -right
    }

    /// The product; exact.
    public static func * (left: Fraction, right: Fraction) -> Fraction {
        Fraction(left.numerator * right.numerator, left.denominator * right.denominator)
    }

    public static func < (left: Fraction, right: Fraction) -> Bool {
        left.numerator * right.denominator < right.numerator * left.denominator
    }

    private static func greatestCommonDivisor(_ first: Int, _ second: Int) -> Int {
        var (large, small) = (first, second)
        while small != 0 { (large, small) = (small, large % small) }
        return large
    }
}
