import FuseSession
import Logging
import Synchronization
import SystemPackage
import Testing

@testable import StoreFS

@Suite struct ListingTests {
    private func listed(_ range: Range<Int>) -> [Listed] {
        range.map { Listed(FileName("name\($0)")!, inode: UInt64($0), kind: .file) }
    }

    /// The names of one READDIR, and where the next one begins.
    private func page(_ listing: Listing, after offset: Int64, size: Int) -> ([String], Int64) {
        var bytes = [UInt8](repeating: 0, count: size)
        let count = bytes.withUnsafeMutableBytes { memory in
            var buffer = DirectoryBuffer(memory, isPlus: false)
            listing.append(after: offset, inode: 1, to: &buffer)
            return buffer.count
        }
        return parse(bytes[..<count], after: offset)
    }

    private func parse(_ bytes: ArraySlice<UInt8>, after offset: Int64) -> ([String], Int64) {
        var names: [String] = []
        var last = offset
        bytes.withUnsafeBytes { memory in
            // struct fuse_dirent of <linux/fuse.h>.
            var position = 0
            while position < memory.count {
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

    /// A store may be far away.
    @Test func aStoreIsAskedOnceForAllOfAListing() async throws {
        let store = CountedStore(entries: listed(0..<300))
        let engine = StoreFS(
            store, nodes: StoreNodes(root: store.root), cache: nil,
            notices: MountNotices(Notifier()), seconds: 60, settleTicks: 512,
            log: Logger(label: "test"))
        for round in 1...2 {
            var all: [String] = []
            var offset: Int64 = 0
            while true {
                let request = FileRequest.readDirectory(
                    rootNodeID, offset: offset, size: 512)
                let reply = try await engine.answer(request, from: Caller(uid: 0, gid: 0))
                guard case .bytes(let bytes) = reply else { throw Errno.ioError }
                let (names, next) = parse(bytes[...], after: offset)
                if names.isEmpty { break }
                all += names
                offset = next
            }
            #expect(Set(all).count == 302)
            #expect(store.asked.load(ordering: .relaxed) == 2 * round)
        }
    }
}

/// A directory; counts what it is asked.
private final class CountedStore: Store {
    let root = 1
    let asked = Atomic(0)
    private let entries: [Listed]

    init(entries: [Listed]) { self.entries = entries }

    func attributes(of node: Int) async throws(Errno) -> Answer<NodeAttributes> {
        asked.wrappingAdd(1, ordering: .relaxed)
        return Answer(NodeAttributes(.directory, inode: 1, permissions: 0o555), kept: .no)
    }

    func find(_ name: FileName, in directory: Int) async throws(Errno) -> Answer<Found<Int>?> {
        Answer(nil, kept: .no)
    }

    func list(_ directory: Int) async throws(Errno) -> Answer<[Listed]> {
        asked.wrappingAdd(1, ordering: .relaxed)
        return Answer(entries, kept: .no)
    }
}
