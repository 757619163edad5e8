import FuseSession
import Glibc
import Synchronization
import SystemPackage

/// Answers constants and remembers what was forgotten, released and written.
final class StubFileSystem: FileSystem {
    let forgotten = Mutex<[NodeID: UInt64]>([:])
    let released = Mutex<[FileHandle]>([])
    /// `appends` of each WRITE.
    let written = Mutex<[Bool]>([])
    let device = Mutex<dev_t?>(nil)

    static var attributes: stat {
        var result = stat()
        result.st_ino = 0x1111
        result.st_size = 0x2222
        result.st_blocks = 0x33
        result.st_atim = timespec(tv_sec: 0x4444, tv_nsec: 4)
        result.st_mtim = timespec(tv_sec: 0x5555, tv_nsec: 5)
        result.st_ctim = timespec(tv_sec: 0x6666, tv_nsec: 6)
        result.st_mode = S_IFREG | 0o644
        result.st_nlink = 7
        result.st_uid = 0x88
        result.st_gid = 0x99
        result.st_blksize = 4096
        return result
    }

    func mounted(device: dev_t) { self.device.withLock { $0 = device } }

    func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        switch name[0] {
        case CChar(UInt8(ascii: "m")): throw .noSuchFileOrDirectory
        case CChar(UInt8(ascii: "n")): return Entry(nodeID: 0, attributes: stat(), entryTimeout: 2)
        default:
            return Entry(
                nodeID: 42, attributes: Self.attributes, entryTimeout: 1.5, attributeTimeout: 0.25)
        }
    }

    func forget(node: NodeID, count: UInt64) {
        forgotten.withLock { $0[node, default: 0] += count }
    }

    func attributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes { Attributes(Self.attributes) }

    func open(
        _ context: RequestContext, node: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile { OpenFile(handle: 77) }

    func create(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        flags: Int32
    ) throws(Errno) -> (entry: Entry, file: OpenFile) {
        (Entry(nodeID: 42, attributes: Self.attributes), OpenFile(handle: 78))
    }

    func release(node: NodeID, handle: FileHandle) {
        released.withLock { $0.append(handle) }
    }

    func read(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> ReadResult {
        buffer.copyBytes(from: [1, 2, 3].prefix(buffer.count))
        return .bytes(min(3, buffer.count))
    }

    func write(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int {
        written.withLock { $0.append(appends) }
        return source.count
    }

    func readDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) {
        _ = entries.append(name: "ab", inode: 5, mode: S_IFDIR, next: 9)
    }

    func readDirectoryPlus(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) {
        _ = entries.append(name: ".", inode: 5, mode: S_IFDIR, next: 1)
        for id in [42, 43] as [NodeID] {
            let entry = Entry(nodeID: id, attributes: Self.attributes)
            _ = entries.append(name: "name\(id)", entry: entry, next: Int64(id))
        }
    }

    func extendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        if buffer.isEmpty { return 3 }
        guard buffer.count >= 3 else { throw .outOfRange }
        buffer.copyBytes(from: [7, 8, 9])
        return 3
    }
}
