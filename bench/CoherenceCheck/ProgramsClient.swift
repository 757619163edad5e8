import CShortfuseABI
import FuseSession
import Glibc
import MirrorFS
import SeededRandom
import Synchronization
import SystemPackage

/// One thread of the kernel: asks the programs, then the mirror, and counts the lookups that it was
/// given, which it forgets at random.
final class ProgramsClient: Client {
    // One reply, made under the locks of what it tells.
    let looksUpAtOnce = true
    let readsStatusAtOnce = true
    let lacking: Set<Ability> = []
    let appendsAtOnce = true
    let links = LinkJudgement.withNames

    private let programs: Programs
    private let asker: Asker
    private var mirror: MirrorFS { programs.mirror }
    private let context = Programs.context
    private var random: SplitMix64
    private var handles: [FileHandle] = []
    /// Lookups not forgotten, besides those of `held`.
    private var lookups: [NodeID: UInt64] = [:]
    private var held: [(node: NodeID, inode: UInt64)] = []
    /// With its handle if it was made, which is still open then.
    private var fresh: (node: NodeID, inode: UInt64, made: FileHandle?)?
    private let listBuffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 4096, alignment: 8)

    init(_ programs: Programs, seed: UInt64) throws {
        self.programs = programs
        asker = Asker(programs.cache)
        random = SplitMix64(seed: seed)
        for file in programs.files {
            handles.append(
                try programs.mirror.open(context, node: file, flags: O_RDWR).handle)
        }
    }

    deinit { listBuffer.deallocate() }

    func close() {
        while !held.isEmpty { letGo(held: 0) }
        forgetAll()
        for (file, handle) in zip(programs.files, handles) {
            mirror.release(node: file, handle: handle)
        }
        programs.answered.add(asker.answered, ordering: .relaxed)
        programs.passed.add(asker.passed, ordering: .relaxed)
    }

    // MARK: Lookups and their end

    /// Looks `place` up. The lookup is the caller's to forget.
    private func lookup(_ place: Place) throws(Errno) -> (node: NodeID, status: Status) {
        let parent = programs.directories[place.directory]
        if let entry = try asker.lookup(parent, place.name) {
            return (entry.nodeid, Status(entry.attr))
        }
        let entry = try mirror.lookup(context, parent: parent, name: place.name)
        return (entry.nodeID, Status(entry.attributes))
    }

    /// Keeps a lookup for later, as the kernel's caches do; now and then they are emptied.
    private func keep(_ node: NodeID) {
        lookups[node, default: 0] += 1
        if random.below(16) == 0 { forgetAll() }
    }

    private func forgetAll() {
        for (node, count) in lookups { mirror.forget(node: node, count: count) }
        lookups.removeAll(keepingCapacity: true)
    }

    private func attributes(_ node: NodeID) throws(Errno) -> Status {
        if let attributes = try asker.attributes(node) { return Status(attributes) }
        return Status(try mirror.attributes(context, of: node, handle: nil).status)
    }

    // MARK: Names

    func status(of place: Place) throws(Errno) -> Status {
        let (node, status) = try lookup(place)
        keep(node)
        return status
    }

    func exists(_ place: Place) throws(Errno) { _ = try status(of: place) }

    func statusOfDirectory(_ directory: Int) throws(Errno) -> Status {
        try attributes(programs.directories[directory])
    }

    func list(_ directory: Int, _ body: (UnsafePointer<CChar>) -> Void) throws(Errno) {
        let node = programs.directories[directory]
        let handle = try mirror.openDirectory(
            context, node: node, flags: O_RDONLY
        ).handle
        defer { mirror.releaseDirectory(node: node, handle: handle) }
        var offset: Int64 = 0
        while true {
            var buffer = DirectoryBuffer(listBuffer, isPlus: true)
            try mirror.readDirectoryPlus(
                context, node: node, handle: handle, offset: offset, into: &buffer)
            if buffer.count == 0 { return }
            Self.forEachEntry(buffer.bytes) { entry, next, name in
                if entry.nodeid != 0 { keep(entry.nodeid) }
                body(name)
                offset = next
            }
        }
    }

    /// Reads struct fuse_direntplus one after the other.
    private static func forEachEntry(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (fuse_entry_out, Int64, UnsafePointer<CChar>) -> Void
    ) {
        let entrySize = MemoryLayout<fuse_entry_out>.size
        // struct fuse_dirent up to its name: ino, off, namelen, type.
        let headerSize = entrySize + 24
        var position = 0
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { name in
            while position + headerSize <= bytes.count {
                let here = UnsafeRawBufferPointer(rebasing: bytes[position...])
                let entry = here.loadUnaligned(as: fuse_entry_out.self)
                let next = here.loadUnaligned(fromByteOffset: entrySize + 8, as: Int64.self)
                let length = Int(
                    here.loadUnaligned(fromByteOffset: entrySize + 16, as: UInt32.self))
                UnsafeMutableRawBufferPointer(name).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: here[headerSize...].prefix(length)))
                name[length] = 0
                body(entry, next, UnsafePointer(name.baseAddress!))
                position += (headerSize + length + 7) & ~7
            }
        }
    }

    func create(_ place: Place) throws(Errno) {
        let (entry, file) = try mirror.create(
            context, parent: programs.directories[place.directory], name: place.name,
            mode: S_IFREG | 0o644, flags: O_RDWR | O_EXCL)
        fresh = (entry.nodeID, UInt64(entry.attributes.st_ino), file.handle)
    }

    func open(_ place: Place) throws(Errno) {
        let (node, status) = try lookup(place)
        do throws(Errno) {
            let file = try mirror.open(context, node: node, flags: O_RDWR)
            mirror.release(node: node, handle: file.handle)
        } catch {
            mirror.forget(node: node, count: 1)
            throw error
        }
        fresh = (node, status.inode, nil)
    }

    func settle(holding: Bool) throws(Errno) -> UInt64 {
        guard let file = fresh else { throw .badFileDescriptor }
        fresh = nil
        // Last: it may be forgotten at once.
        defer {
            if let handle = file.made { mirror.release(node: file.node, handle: handle) }
            if holding { held.append((file.node, file.inode)) } else { keep(file.node) }
        }
        if let handle = file.made {
            var inode = file.inode
            try withUnsafeBytes(of: &inode) { (bytes) throws(Errno) in
                try write(file.node, handle, bytes, appends: false)
            }
        }
        return file.inode
    }

    func remove(_ place: Place) throws(Errno) {
        try mirror.removeFile(
            context, parent: programs.directories[place.directory], name: place.name)
    }

    func makeDirectory(_ place: Place) throws(Errno) {
        let entry = try mirror.makeDirectory(
            context, parent: programs.directories[place.directory], name: place.name,
            mode: 0o755)
        keep(entry.nodeID)
    }

    func removeDirectory(_ place: Place) throws(Errno) {
        try mirror.removeDirectory(
            context, parent: programs.directories[place.directory], name: place.name)
    }

    func rename(_ from: Place, _ to: Place, exchanging: Bool) throws(Errno) {
        try mirror.rename(
            context, parent: programs.directories[from.directory], name: from.name,
            newParent: programs.directories[to.directory], newName: to.name,
            flags: exchanging ? 2 : 0)  // RENAME_EXCHANGE
    }

    // MARK: Held files

    var heldCount: Int { held.count }

    func inode(held index: Int) -> UInt64 { held[index].inode }

    func status(held index: Int) throws(Errno) -> Status { try attributes(held[index].node) }

    func read(
        held index: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = held[index].node
        let file = try mirror.open(context, node: node, flags: O_RDONLY)
        defer { mirror.release(node: node, handle: file.handle) }
        return try read(node, file.handle, into: buffer)
    }

    func link(held index: Int, to place: Place) throws(Errno) {
        let entry = try mirror.makeLink(
            context, to: held[index].node, parent: programs.directories[place.directory],
            name: place.name)
        keep(entry.nodeID)
    }

    func letGo(held index: Int) {
        mirror.forget(node: held.remove(at: index).node, count: 1)
    }

    // MARK: Files

    private func node(_ file: Layout.File) -> NodeID { programs.files[file.rawValue] }

    private func set(
        _ file: Layout.File, _ body: (inout AttributeChanges) -> Void
    ) throws(Errno) {
        var changes = AttributeChanges()
        body(&changes)
        _ = try mirror.setAttributes(context, of: node(file), handle: nil, to: changes)
    }

    func status(of file: Layout.File) throws(Errno) -> Status { try attributes(node(file)) }

    func truncate(_ file: Layout.File, to size: Int64) throws(Errno) {
        try set(file) { $0.size = size }
    }

    func append(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
        try write(node(file), handles[file.rawValue], bytes, appends: true)
    }

    func changeMode(of file: Layout.File, to mode: UInt32) throws(Errno) {
        try set(file) { $0.mode = mode }
    }

    func changeOwner(of file: Layout.File, to owner: UInt32) throws(Errno) {
        try set(file) { $0.uid = owner }
    }

    func read(
        _ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try read(node(file), handles[file.rawValue], into: buffer)
    }

    func readAnew(
        _ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try read(file, into: buffer)
    }

    private func read(
        _ node: NodeID, _ handle: FileHandle, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        if let count = try asker.read(node, into: buffer) { return count }
        let result = try mirror.read(
            context, node: node, handle: handle, offset: 0, into: buffer)
        guard case .bytes(let count) = result else { throw .notSupported }
        return count
    }

    func write(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
        try write(node(file), handles[file.rawValue], bytes, appends: false)
    }

    private func write(
        _ node: NodeID, _ handle: FileHandle, _ bytes: UnsafeRawBufferPointer, appends: Bool
    ) throws(Errno) {
        let count = try mirror.write(
            context, node: node, handle: handle, offset: 0, appends: appends,
            from: WriteSource(bytes))
        if count != bytes.count { throw .ioError }
    }

    func extendedAttribute(
        of file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        if let count = try asker.extendedAttribute(
            node(file), Layout.extendedAttribute, into: buffer)
        {
            return count
        }
        return try mirror.extendedAttribute(
            context, of: node(file), name: Layout.extendedAttribute, into: buffer)
    }

    func setExtendedAttribute(
        of file: Layout.File, to value: UnsafeRawBufferPointer
    ) throws(Errno) {
        try mirror.setExtendedAttribute(
            context, of: node(file), name: Layout.extendedAttribute, to: value, flags: 0)
    }
}
