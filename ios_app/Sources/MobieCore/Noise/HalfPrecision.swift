/// IEEE half precision carried as 16 bits: Swift's `Float16` does not exist on Intel Macs.
public enum HalfPrecision {
    /// The bits of the half-precision number nearest to `value`, ties to even; infinity beyond 65519.99.
    public static func bits(of value: Double) -> UInt16 {
        let bits = value.bitPattern
        let sign = UInt16(truncatingIfNeeded: bits >> 48) & 0x8000
        let exponent = Int(bits >> 52 & 0x7FF) - 1023
        let fraction = bits & 0xF_FFFF_FFFF_FFFF
        if exponent == 1024 { return sign | (fraction == 0 ? 0x7C00 : 0x7E00) }
        if exponent > 15 { return sign | 0x7C00 }
        if exponent < -25 { return sign }
        // Subnormal results keep fewer bits of the significand.
        let significand = fraction | 1 << 52
        let dropped = UInt64(exponent < -14 ? 42 + (-14 - exponent) : 42)
        let kept = significand >> dropped
        let rest = significand & (1 << dropped - 1)
        let half = UInt64(1) << (dropped - 1)
        let isUp = rest > half || (rest == half && kept & 1 == 1)
        let rounded = UInt16(kept) + (isUp ? 1 : 0)
        // A carry out of the fraction raises the exponent by itself, up to infinity.
        return sign | (exponent < -14 ? rounded : UInt16(exponent + 14) << 10 + rounded)
    }

    /// The number that half-precision bits stand for, exactly.
    public static func value(of bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 0x1F)
        let fraction = Float(bits & 0x3FF)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1024 + fraction) * Float(sign: .plus, exponent: exponent - 25, significand: 1)
        }
    }
}
