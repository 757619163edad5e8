import CFuse3
import Glibc

/// The reply to READDIR or READDIRPLUS under construction.
public struct DirectoryBuffer: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer
    /// Bytes used.
    public private(set) var count = 0
    private let isPlus: Bool

    /// - Parameters:
    ///   - memory: where the reply is put together, as large as the kernel requested. It must
    ///     outlive this value.
    ///   - isPlus: entries have attributes, as READDIRPLUS requires.
    public init(_ memory: UnsafeMutableRawBufferPointer, isPlus: Bool) {
        self.memory = memory
        self.isPlus = isPlus
    }

    /// The number of bytes that the kernel requested.
    public var capacity: Int { memory.count }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    /// Appends a name without a node: in READDIR, and for `.` and `..` in READDIRPLUS.
    /// - Parameters:
    ///   - name: NUL-terminated bytes, which are copied.
    ///   - inode: `d_ino`.
    ///   - mode: its type bits become `d_type`.
    ///   - next: the offset at which reading continues after this entry.
    /// - Returns: false if it does not fit; nothing is appended then.
    public mutating func append(
        name: UnsafePointer<CChar>, inode: UInt64, mode: mode_t, next: Int64
    ) -> Bool {
        var attributes = stat()
        attributes.st_ino = ino_t(inode)
        attributes.st_mode = mode
        if isPlus {
            return append(
                name: name, entry: Entry(nodeID: 0, attributes: attributes), next: next)
        }
        return add { start, room in
            fuse_add_direntry(nil, start, room, name, &attributes, off_t(next))
        }
    }

    /// Appends a name with its node, and increments the node's nlookup: only in READDIRPLUS.
    /// - Returns: false if it does not fit; nothing is appended then.
    public mutating func append(
        name: UnsafePointer<CChar>, entry: Entry, next: Int64
    ) -> Bool {
        guard isPlus else { return false }
        var parameters = entry.parameters
        return add { start, room in
            fuse_add_direntry_plus(nil, start, room, name, &parameters, off_t(next))
        }
    }

    private mutating func add(
        _ body: (UnsafeMutablePointer<CChar>?, Int) -> Int
    ) -> Bool {
        let room = memory.count - count
        let start = memory.baseAddress?.assumingMemoryBound(to: CChar.self)
        let size = body(start.map { $0 + count }, room)
        guard size <= room else { return false }
        count += size
        return true
    }

    /// Calls `body` with the nodeid of each READDIRPLUS entry that has one.
    func forEachNode(_ body: (NodeID) -> Void) {
        guard isPlus else { return }
        // struct fuse_direntplus of <linux/fuse.h>: fuse_entry_out (128 bytes, nodeid first), then
        // fuse_dirent (24 bytes, namelen at 16) and the name, padded to 8 bytes.
        var offset = 0
        while offset + 152 <= count {
            let node = memory.load(fromByteOffset: offset, as: UInt64.self)
            if node != 0 { body(node) }
            let length = Int(memory.load(fromByteOffset: offset + 144, as: UInt32.self))
            offset += (152 + length + 7) & ~7
        }
    }
}
