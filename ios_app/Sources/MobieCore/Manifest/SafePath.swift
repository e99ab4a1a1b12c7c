/// Whether a relative path stays inside its folder on every system: plain names between '/', no character that is
/// not printed or that some system gives a meaning to.
func isSafePath(_ path: String) -> Bool {
    let parts = path.unicodeScalars.split(separator: "/", omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy { part in
        let name = String(String.UnicodeScalarView(part))
        return !name.isEmpty && name != "." && name != ".."
    }
    return isPlain && path.unicodeScalars.allSatisfy { isPrinted($0) && !forbidden.contains($0) }
}

private let forbidden: Set<Unicode.Scalar> = ["\\", ":", "*", "?", "\"", "<", ">", "|"]

private func isPrinted(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
}

/// A text in which letters that differ in case alone are the same: Unicode's full case folding, up to the choice of
/// the letter that stands for its class.
func caseFolded(_ text: String) -> String {
    var folded = ""
    for scalar in text.unicodeScalars {
        // The dotless i keeps apart from i; upper-casing would join them.
        if scalar == "\u{131}" {
            folded.unicodeScalars.append(scalar)
            continue
        }
        for lower in scalar.properties.lowercaseMapping.unicodeScalars {
            for upper in lower.properties.uppercaseMapping.unicodeScalars {
                folded += upper.properties.lowercaseMapping
            }
        }
    }
    return folded
}
