/// Numbers as people read them.
enum Figures {
    /// `value` with so many digits after the point.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        let scaled = Int64((abs(value) * scale).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        let whole = scaled / Int64(scale)
        guard digits > 0 else { return "\(sign)\(whole)" }
        let part = String(scaled % Int64(scale))
        return "\(sign)\(whole).\(String(repeating: "0", count: digits - part.count))\(part)"
    }

    /// In the largest unit of 1024 that leaves a whole number before the point.
    static func bytes(_ count: some BinaryInteger) -> String {
        scaled(Double(count), by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
    }

    /// A duration in the largest unit of time that leaves a whole number before the point.
    static func duration(nanoseconds: some BinaryInteger) -> String {
        scaled(Double(nanoseconds), by: 1000, ["ns", "µs", "ms", "s"])
    }

    private static func scaled(_ value: Double, by factor: Double, _ units: [String]) -> String {
        var value = value
        var unit = units.startIndex
        while value >= factor, unit + 1 < units.endIndex {
            value /= factor
            unit += 1
        }
        return "\(fixed(value, unit == units.startIndex ? 0 : 1)) \(units[unit])"
    }
}
