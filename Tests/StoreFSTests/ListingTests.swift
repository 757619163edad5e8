import FuseSession
import Testing

@testable import StoreFS

@Suite struct ListingTests {
    private func listed(_ range: Range<Int>) -> [Listed] {
        range.map { Listed(FileName("name\($0)")!, inode: UInt64($0), kind: .file) }
    }

    /// The names of one READDIR, and where the next one begins.
    private func page(_ listing: Listing, after offset: Int64, size: Int) -> ([String], Int64) {
        var memory = [UInt8](repeating: 0, count: size)
        var names: [String] = []
        var last = offset
        memory.withUnsafeMutableBytes { memory in
            var buffer = DirectoryBuffer(memory, isPlus: false)
            _ = listing.append(after: offset, inode: 1, to: &buffer)
            // struct fuse_dirent of <linux/fuse.h>.
            var position = 0
            while position < buffer.count {
                last = memory.loadUnaligned(fromByteOffset: position + 8, as: Int64.self)
                let length = memory.loadUnaligned(fromByteOffset: position + 16, as: UInt32.self)
                let start = position + 24
                names.append(
                    String(decoding: memory[start..<(start + Int(length))], as: UTF8.self))
                position += (24 + Int(length) + 7) & ~7
            }
        }
        return (names, last)
    }

    @Test func eachNameIsListedOnceWhileOthersComeAndGo() {
        var all: [String] = []
        var offset: Int64 = 0
        var round = 0
        while true {
            // 0 to 99 stay; the others come and go.
            let listing = Listing(listed(0..<(round % 2 == 0 ? 300 : 100)))
            let (names, next) = page(listing, after: offset, size: 512)
            if names.isEmpty { break }
            all += names
            offset = next
            round += 1
        }
        #expect(Set(all).count == all.count)
        #expect(all.filter { $0.hasPrefix(".") }.sorted() == [".", ".."])
        let stayed = Set(all)
        for number in 0..<100 { #expect(stayed.contains("name\(number)")) }
    }
}
