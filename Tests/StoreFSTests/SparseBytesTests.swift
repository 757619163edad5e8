import Testing

@testable import StoreFS

@Suite struct SparseBytesTests {
    /// An array of the same bytes has the last word.
    @Test func itIsAsAnArray() {
        var random = SystemRandomNumberGenerator()
        var sparse = SparseBytes()
        var plain: [UInt8] = []
        for round in 0..<2000 {
            let place = Int.random(in: 0..<100_000, using: &random)
            if round % 5 == 0 {
                sparse.resize(to: Int64(place))
                plain = Array(plain.prefix(place))
                plain += [UInt8](repeating: 0, count: place - plain.count)
            } else {
                let count = Int.random(in: 0..<40_000, using: &random)
                let bytes = [UInt8](repeating: UInt8(round % 256), count: count)
                sparse.write(bytes, at: Int64(place))
                plain += [UInt8](repeating: 0, count: max(place + count - plain.count, 0))
                plain.replaceSubrange(place..<(place + count), with: bytes)
            }
            let start = Int.random(in: 0..<150_000, using: &random)
            let count = Int.random(in: 0..<60_000, using: &random)
            #expect(Int(sparse.count) == plain.count)
            #expect(
                sparse.read(at: Int64(start), count: count)
                    == Array(plain.dropFirst(start).prefix(count)))
        }
    }

    @Test func holesTakeNoRoom() {
        var sparse = SparseBytes()
        sparse.write([7], at: 1 << 43)
        #expect(sparse.count == 1 << 43 + 1)
        #expect(sparse.read(at: 1 << 43 - 1, count: 9) == [0, 7])
        sparse.resize(to: 1 << 43)
        sparse.resize(to: 1 << 43 + 1)
        #expect(sparse.read(at: 1 << 43, count: 9) == [0])
    }
}
