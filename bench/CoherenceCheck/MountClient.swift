import Glibc
import Syscall
import SystemPackage

/// System calls on a directory, whatever file system it is on.
final class MountClient: Client {
    let looksUpAtOnce = false
    let readsStatusAtOnce: Bool
    let lacking: Set<Ability>
    let appendsAtOnce = false
    var links: LinkJudgement { readsStatusAtOnce ? .withNames : .apart }

    private let root: FileDescriptor
    private let directories: [FileDescriptor]
    /// The files of `Layout.File`, open.
    private var files: [FileDescriptor] = []
    private let appending: FileDescriptor
    private var held: [(fd: FileDescriptor, inode: UInt64)] = []
    private var fresh: (fd: FileDescriptor, isNew: Bool)?
    private let listBuffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 4096, alignment: 8)

    /// - Parameters:
    ///   - readsStatusAtOnce: the file system says so of itself. The kernel's own do not: their stat(2)
    ///     meets a change half-way.
    init(
        _ directory: String, readsStatusAtOnce: Bool, lacking: Set<Ability>
    ) throws(Errno) {
        self.readsStatusAtOnce = readsStatusAtOnce
        self.lacking = lacking
        let root = try Syscall.open(directory, flags: O_RDONLY | O_DIRECTORY)
        self.root = root
        var directories: [FileDescriptor] = []
        for name in Layout.directories {
            directories.append(try Syscall.open(at: root, name, flags: O_RDONLY | O_DIRECTORY))
        }
        self.directories = directories
        appending = try Syscall.open(
            at: root, Layout.File.attributes.name, flags: O_WRONLY | O_APPEND)
        for file in Layout.File.allCases {
            files.append(try Self.open(file, at: root, past: !lacking.contains(.direct)))
        }
    }

    /// Only FUSE makes O_DIRECT worth while: native file systems are as exact without, and tmpfs has
    /// it only since Linux 6.6.
    private static func open(
        _ file: Layout.File, at root: FileDescriptor, past pageCache: Bool
    ) throws(Errno) -> FileDescriptor {
        if file == .direct, pageCache {
            do throws(Errno) {
                return try Syscall.open(
                    at: root, file.name, flags: O_RDWR | Syscall.openDirect)
            } catch {
                if error != .invalidArgument { throw error }
            }
        }
        return try Syscall.open(at: root, file.name, flags: O_RDWR)
    }

    deinit { listBuffer.deallocate() }

    func close() {
        for fd in directories + files + held.map(\.fd) + [appending, root] { Syscall.close(fd) }
    }

    // MARK: Names

    /// Where another mount moves directories, the kernel may find one in two places at once, and if it is
    /// busy it says ESTALE and has done nothing (__d_unalias of fs/dcache.c).
    private func again<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        var tries = lacking.contains(.renaming) ? 20 : 1
        while true {
            do throws(Errno) {
                return try body()
            } catch {
                tries -= 1
                if tries == 0 || error != .staleNFSFileHandle { throw error }
                usleep(100)
            }
        }
    }

    func status(of place: Place) throws(Errno) -> Status {
        try again { () throws(Errno) in
            Status(try Syscall.status(at: directories[place.directory], place.name))
        }
    }

    func exists(_ place: Place) throws(Errno) { _ = try status(of: place) }

    func statusOfDirectory(_ directory: Int) throws(Errno) -> Status {
        Status(try Syscall.status(at: root, Layout.directories[directory]))
    }

    func list(_ directory: Int, _ body: (UnsafePointer<CChar>) -> Void) throws(Errno) {
        let fd = try Syscall.open(
            at: directories[directory], ".", flags: O_RDONLY | O_DIRECTORY)
        defer { Syscall.close(fd) }
        while try Syscall.readDirectory(
            fd, using: listBuffer,
            { (entry) throws(Errno) in
                body(entry.name)
                return true
            })
        {}
    }

    func create(_ place: Place) throws(Errno) {
        let fd = try Syscall.open(
            at: directories[place.directory], place.name, flags: O_RDWR | O_CREAT | O_EXCL,
            mode: 0o644)
        fresh = (fd, true)
    }

    func open(_ place: Place) throws(Errno) {
        let fd = try Syscall.open(at: directories[place.directory], place.name, flags: O_RDONLY)
        fresh = (fd, false)
    }

    func settle(holding: Bool) throws(Errno) -> UInt64 {
        guard let (fd, isNew) = fresh else { throw .badFileDescriptor }
        fresh = nil
        do throws(Errno) {
            var inode = UInt64(try status(of: fd).st_ino)
            if isNew {
                try withUnsafeBytes(of: &inode) { (bytes) throws(Errno) in
                    try write(fd, bytes)
                }
            }
            if holding { held.append((fd, inode)) } else { Syscall.close(fd) }
            return inode
        } catch {
            Syscall.close(fd)
            throw error
        }
    }

    func remove(_ place: Place) throws(Errno) {
        try Syscall.remove(at: directories[place.directory], place.name)
    }

    func makeDirectory(_ place: Place) throws(Errno) {
        try again { () throws(Errno) in
            try Syscall.makeDirectory(at: directories[place.directory], place.name, mode: 0o755)
        }
    }

    func removeDirectory(_ place: Place) throws(Errno) {
        try again { () throws(Errno) in
            try Syscall.remove(at: directories[place.directory], place.name, flags: AT_REMOVEDIR)
        }
    }

    func rename(_ from: Place, _ to: Place, exchanging: Bool) throws(Errno) {
        try Syscall.rename(
            at: directories[from.directory], from.name, to: directories[to.directory], to.name,
            flags: exchanging ? 2 : 0)  // RENAME_EXCHANGE
    }

    // MARK: Held files

    var heldCount: Int { held.count }

    func inode(held index: Int) -> UInt64 { held[index].inode }

    func status(held index: Int) throws(Errno) -> Status {
        Status(try status(of: held[index].fd))
    }

    /// Of a file that is open. Where that fails while the file loses its name, a moment later it does not.
    private func status(of fd: FileDescriptor) throws(Errno) -> stat {
        var tries = lacking.contains(.holding) ? 10 : 1
        while true {
            do throws(Errno) {
                return try Syscall.status(fd)
            } catch {
                tries -= 1
                if tries == 0 || error != .staleNFSFileHandle { throw error }
            }
        }
    }

    func read(
        held index: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try Syscall.read(held[index].fd, at: 0, into: buffer)
    }

    /// The kernel asks its own count of links, which it takes one from with each name that it removes,
    /// also if another mount has made one meanwhile; stat(2) tells it the right one.
    func link(held index: Int, to place: Place) throws(Errno) {
        var tries = lacking.contains(.counting) ? 10 : 1
        while true {
            do throws(Errno) {
                return try linkOnce(held: index, to: place)
            } catch {
                tries -= 1
                guard tries > 0, error == .noSuchFileOrDirectory,
                    try status(of: held[index].fd).st_nlink > 0
                else { throw error }
            }
        }
    }

    private func linkOnce(held index: Int, to place: Place) throws(Errno) {
        try DescriptorPath(held[index].fd).withPointer { (path) throws(Errno) in
            try Syscall.makeLink(
                at: root, path, to: directories[place.directory], place.name,
                flags: AT_SYMLINK_FOLLOW)
        }
    }

    func letGo(held index: Int) {
        Syscall.close(held.remove(at: index).fd)
    }

    // MARK: Files

    private func fd(_ file: Layout.File) -> FileDescriptor { files[file.rawValue] }

    func status(of file: Layout.File) throws(Errno) -> Status {
        Status(try Syscall.status(at: root, file.name))
    }

    func truncate(_ file: Layout.File, to size: Int64) throws(Errno) {
        try Syscall.truncate(fd(file), size: size)
    }

    func append(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
        guard Glibc.write(appending.rawValue, bytes.baseAddress, bytes.count) == bytes.count else {
            throw Errno(rawValue: errno)
        }
    }

    func changeMode(of file: Layout.File, to mode: UInt32) throws(Errno) {
        try Syscall.changeMode(at: root, file.name, to: mode)
    }

    func changeOwner(of file: Layout.File, to owner: UInt32) throws(Errno) {
        try Syscall.changeOwner(fd(file), uid: owner, gid: gid_t.max)
    }

    func read(
        _ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try Syscall.read(fd(file), at: 0, into: buffer)
    }

    func readAnew(
        _ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let fd = try Syscall.open(at: root, file.name, flags: O_RDONLY)
        defer { Syscall.close(fd) }
        return try Syscall.read(fd, at: 0, into: buffer)
    }

    func write(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
        try write(fd(file), bytes)
    }

    private func write(
        _ fd: FileDescriptor, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        guard pwrite(fd.rawValue, bytes.baseAddress, bytes.count, 0) == bytes.count else {
            throw Errno(rawValue: errno)
        }
    }

    func extendedAttribute(
        of file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try DescriptorPath(fd(file)).withPointer { (path) throws(Errno) in
            try Syscall.extendedAttribute(of: path, Layout.extendedAttribute, into: buffer)
        }
    }

    func setExtendedAttribute(
        of file: Layout.File, to value: UnsafeRawBufferPointer
    ) throws(Errno) {
        try DescriptorPath(fd(file)).withPointer { (path) throws(Errno) in
            try Syscall.setExtendedAttribute(
                of: path, Layout.extendedAttribute, to: value, flags: 0)
        }
    }
}
