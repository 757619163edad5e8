/// The data of a file in memory. What was never written is zeros, and takes no room.
public struct SparseBytes: Sendable, Equatable {
    /// Bytes.
    public private(set) var count: Int64 = 0
    private var chunks: [Int64: [UInt8]] = [:]

    /// Larger: fewer of them; each small file takes one.
    private static let chunkSize = 1 << 14

    public init() {}

    /// Up to `count` bytes from `offset` on, which is not negative; fewer at the end.
    public func read(at offset: Int64, count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        let end = offset + max(min(Int64(count), self.count - offset), 0)
        bytes.reserveCapacity(Int(end - offset))
        Self.forEachChunk(from: offset, to: end) { number, range in
            let chunk = chunks[number] ?? []
            bytes += chunk[min(range.lowerBound, chunk.count)..<min(range.upperBound, chunk.count)]
            let missing = range.upperBound - max(range.lowerBound, chunk.count)
            if missing > 0 { bytes += [UInt8](repeating: 0, count: missing) }
        }
        return bytes
    }

    /// `offset` is not negative.
    public mutating func write(_ bytes: [UInt8], at offset: Int64) {
        let end = offset + Int64(bytes.count)
        var rest = bytes[...]
        Self.forEachChunk(from: offset, to: end) { number, range in
            var chunk = chunks.removeValue(forKey: number) ?? []
            let missing = range.upperBound - chunk.count
            if missing > 0 { chunk += [UInt8](repeating: 0, count: missing) }
            chunk.replaceSubrange(range, with: rest.prefix(range.count))
            rest = rest.dropFirst(range.count)
            chunks[number] = chunk
        }
        count = max(count, end)
    }

    /// Cuts it, or has zeros follow.
    public mutating func resize(to count: Int64) {
        if count < self.count {
            let (last, rest) = count.quotientAndRemainder(dividingBy: Int64(Self.chunkSize))
            chunks = chunks.filter { $0.key <= last }
            if let chunk = chunks[last] { chunks[last] = Array(chunk.prefix(Int(rest))) }
        }
        self.count = count
    }

    private static func forEachChunk(
        from start: Int64, to end: Int64, _ body: (Int64, Range<Int>) -> Void
    ) {
        var offset = start
        while offset < end {
            let (number, first) = offset.quotientAndRemainder(dividingBy: Int64(chunkSize))
            let length = min(Int64(chunkSize) - first, end - offset)
            body(number, Int(first)..<Int(first + length))
            offset += length
        }
    }
}
