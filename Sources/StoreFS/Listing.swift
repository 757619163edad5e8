import FuseSession
import Glibc
import SystemPackage

/// The names in a directory, sorted by their hashes, which are the offsets of READDIR: names may be
/// added and removed between two requests, and all others are listed once, as getdents64(2) promises.
/// This needs no handle; the kernel has none.
struct Listing: Sendable {
    private let entries: [(offset: Int64, entry: Listed)]

    init(_ entries: [Listed]) {
        self.entries = entries.map { (Self.offset($0.name), $0) }.sorted { $0.offset < $1.offset }
    }

    /// FNV-1a, greater than the offsets of "." and "..".
    private static func offset(_ name: FileName) -> Int64 {
        let hash = name.bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01B3
        }
        return Int64(hash >> 2) + 3
    }

    /// Appends as many entries after `offset` as fit.
    /// - Parameter inode: the directory's, used if `offset` is below 2.
    func append(
        after offset: Int64, inode: UInt64, to buffer: inout DirectoryBuffer
    ) {
        if offset < 1, !buffer.append(name: ".", inode: inode, mode: S_IFDIR, next: 1) { return }
        if offset < 2, !buffer.append(name: "..", inode: inode, mode: S_IFDIR, next: 2) { return }
        for (next, entry) in entries[first(after: offset)...] {
            let fits = entry.name.withCString {
                buffer.append(
                    name: $0, inode: entry.inode, mode: entry.kind.typeBits, next: next)
            }
            if !fits { return }
        }
    }

    private func first(after offset: Int64) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].offset <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension StoreFS {
    func list(_ node: Node, from offset: Int64, size: Int) async throws(Errno) -> [UInt8] {
        var listing = offset == 0 ? nil : node.listing.withLock { $0 }
        // Only for "." and "..".
        let inode = offset < 2 ? try await store.attributes(of: node.id).value.inode : 0
        if listing == nil {
            let fresh = Listing(try await store.list(node.id).value)
            node.listing.withLock { $0 = fresh }
            listing = fresh
        }
        var bytes = [UInt8](repeating: 0, count: size)
        let count = bytes.withUnsafeMutableBytes { memory in
            var buffer = DirectoryBuffer(memory, isPlus: false)
            listing?.append(after: offset, inode: inode, to: &buffer)
            return buffer.count
        }
        // The kernel asks until nothing is left.
        if count == 0 { node.listing.withLock { $0 = nil } }
        return Array(bytes[..<count])
    }
}
