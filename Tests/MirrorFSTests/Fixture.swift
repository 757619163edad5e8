import FuseSession
import Glibc
import KernelCache
import MirrorFS
import Syscall
import SystemPackage
import Testing

extension MirrorFS {
    /// Runs `body` as the session runs a request: the files that it uses stay open to its end.
    func asRequest<R>(_ body: () throws -> R) rethrows -> R {
        let token = requestBegins()
        defer { requestEnds(token) }
        return try body()
    }
}

/// A MirrorFS over a fresh directory, called directly: no mount.
///
/// The mirror gives the thread that it is called on the caller's umask, and leaves it. Tests share
/// threads, so a fixture begins by giving its thread the umask of `root`: plain system calls beside
/// the mirror's are then made with the same one, whatever the test before it has left.
final class Fixture {
    let source: String
    let mirror: MirrorFS
    let nodes = NodeTable()
    let root = RequestContext(uid: geteuid(), gid: getegid())

    init(options: MirrorFS.Options = .init()) throws {
        try Syscall.setThreadMask(root.umask)
        var template = Array("/tmp/mirror-test.XXXXXX".utf8CString)
        source = String(cString: try #require(mkdtemp(&template)))
        mirror = try MirrorFS(
            source: FilePath(source), nodes: nodes, coherence: Coherence(cache: nil),
            options: options)
    }

    deinit {
        removeTree(source)
    }

    /// The path in SOURCE.
    func path(_ name: String) -> String { source + "/" + name }

    func lookup(_ name: String, in parent: NodeID = rootNodeID) throws(Errno) -> Entry {
        try mirror.lookup(root, parent: parent, name: name)
    }

    func attributes(_ node: NodeID) throws(Errno) -> stat {
        try mirror.attributes(root, of: node, handle: nil).status
    }

    @discardableResult
    func makeFile(
        _ name: String, _ content: String = "", in parent: NodeID = rootNodeID,
        mode: mode_t = 0o644,
        as context: RequestContext? = nil
    ) throws(Errno) -> Entry {
        let (entry, file) = try mirror.create(
            context ?? root, parent: parent, name: name, mode: S_IFREG | mode, flags: O_RDWR)
        defer { mirror.release(node: entry.nodeID, handle: file.handle) }
        try write(content, to: entry.nodeID, file.handle)
        return entry
    }

    @discardableResult
    func makeDirectory(
        _ name: String, in parent: NodeID = rootNodeID, mode: mode_t = 0o755
    ) throws(Errno) -> Entry {
        try mirror.makeDirectory(root, parent: parent, name: name, mode: mode)
    }

    func write(
        _ text: String, to node: NodeID, _ handle: FileHandle, at offset: Int64 = 0,
        appends: Bool = false
    ) throws(Errno) {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { memory.deallocate() }
        memory.copyBytes(from: bytes)
        let count = try mirror.write(
            root, node: node, handle: handle, offset: offset, appends: appends,
            from: WriteSource(UnsafeRawBufferPointer(memory)))
        guard count == bytes.count else { throw .ioError }
    }

    func read(_ node: NodeID, _ handle: FileHandle, count: Int = 4096) throws(Errno) -> String {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
        defer { memory.deallocate() }
        let result = try mirror.read(
            root, node: node, handle: handle, offset: 0, into: memory)
        guard case .bytes(let used) = result else { return "not in the buffer" }
        return String(decoding: memory[..<used], as: UTF8.self)
    }

    func content(_ node: NodeID) throws(Errno) -> String {
        let file = try mirror.open(root, node: node, flags: O_RDONLY)
        defer { mirror.release(node: node, handle: file.handle) }
        return try read(node, file.handle)
    }
}

func removeTree(_ path: String) {
    removeTree(at: AT_FDCWD, path)
}

private func removeTree(at parent: Int32, _ name: UnsafePointer<CChar>) {
    if unlinkat(parent, name, 0) == 0 { return }
    let fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    if let stream = fdopendir(fd) {
        while let entry = readdir(stream) {
            withUnsafePointer(to: &entry.pointee.d_name) { bytes in
                let name = UnsafeRawPointer(bytes).assumingMemoryBound(to: CChar.self)
                if strcmp(name, ".") != 0, strcmp(name, "..") != 0 { removeTree(at: fd, name) }
            }
        }
        closedir(stream)
    }
    unlinkat(parent, name, AT_REMOVEDIR)
}

/// lstat(2).
func status(_ path: String) throws -> stat {
    var result = stat()
    try #require(lstat(path, &result) == 0, "\(path): \(errno)")
    return result
}

func expectEqual(
    _ left: stat, _ right: stat, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(describe(left) == describe(right), sourceLocation: sourceLocation)
}

private func describe(_ value: stat) -> String {
    """
    ino \(value.st_ino) mode \(value.st_mode) nlink \(value.st_nlink) uid \(value.st_uid) \
    gid \(value.st_gid) rdev \(value.st_rdev) size \(value.st_size) blocks \(value.st_blocks) \
    atime \(value.st_atim.tv_sec).\(value.st_atim.tv_nsec) \
    mtime \(value.st_mtim.tv_sec).\(value.st_mtim.tv_nsec) \
    ctime \(value.st_ctim.tv_sec).\(value.st_ctim.tv_nsec)
    """
}
