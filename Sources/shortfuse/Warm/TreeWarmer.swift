import Glibc
import Synchronization
import Syscall
import SystemPackage

/// Asks for everything that the cache can hold of some trees, by the calls that any program would
/// make, from several threads.
final class TreeWarmer: Sendable {
    struct Options: Sendable {
        /// Bytes; larger files are not read.
        var maxFileSize: Int64 = 1 << 20
        var threads = 4
    }

    private enum Work {
        case start(WarmTarget)
        case directory(WalkTree, WalkDirectory)
        case names([[CChar]], WalkTree, WalkDirectory, Descriptor)
    }

    let counts = WarmCounts()
    private let options: Options
    private let queue: WorkQueue<Work>
    private let tell: @Sendable (_ line: String) -> Void

    /// Names that one thread takes at a time. Fewer: threads wait for the queue; more: at the end
    /// they wait for one of them.
    private static let batch = 64

    /// - Parameter tell: takes a line on what could not be done, from any thread.
    init(
        _ targets: [WarmTarget], options: Options,
        tell: @escaping @Sendable (_ line: String) -> Void
    ) {
        self.options = options
        self.tell = tell
        queue = WorkQueue(targets.reversed().map { .start($0) })
    }

    /// Walks all trees.
    ///
    /// - Parameter watch: called on this thread meanwhile, ten times a second.
    /// - Returns: false if the mount broke down.
    func run(watch: (WarmCounts) -> Void) -> Bool {
        Threads.run(
            options.threads, { [self] in queue.work(perform) },
            meanwhile: {
                while !queue.waitUntilDone(milliseconds: 100) { watch(counts) }
            })
        return !queue.isStopped
    }

    private func perform(_ work: Work) {
        switch work {
        case .start(let target): begin(target)
        case .directory(let tree, let directory):
            attempt(tree.path(in: directory)) { () throws(Errno) in
                try list(directory, of: tree)
            }
        case .names(let names, let tree, let directory, let descriptor):
            for name in names where !queue.isStopped {
                attempt(tree.path(of: name, in: directory)) { () throws(Errno) in
                    try warm(name, in: directory, of: tree, open: descriptor)
                }
            }
        }
    }

    /// Runs `body` and tells what it throws, unless the file went away meanwhile.
    private func attempt(
        _ path: @autoclosure () -> [UInt8], _ body: () throws(Errno) -> Void
    ) {
        do {
            try body()
        } catch .noSuchFileOrDirectory {
        } catch .socketNotConnected {
            queue.stop()
        } catch .connectionAbort {
            queue.stop()
        } catch {
            counts.errors.add()
            tell("\(printable(path())): \(error)")
        }
    }

    // MARK: Walk

    private static let here = Array(".".utf8CString)
    private static let above = Array("..".utf8CString)

    private func begin(_ target: WarmTarget) {
        attempt(target.path) { () throws(Errno) in
            let file = try target.open()
            let status = try Syscall.status(file.fd)
            // Somebody unmounted meanwhile.
            guard status.st_dev == target.mount.device else { throw .socketNotConnected }
            try warm(file.fd, status)
            if status.st_mode & S_IFMT == S_IFDIR {
                let tree = WalkTree(
                    start: file, device: target.mount.device, path: target.path)
                found(tree.root, of: tree)
            }
        }
    }

    private func found(_ directory: WalkDirectory, of tree: WalkTree) {
        counts.directoriesFound.add()
        queue.push(.directory(tree, directory))
    }

    private func list(_ directory: WalkDirectory, of tree: WalkTree) throws(Errno) {
        defer { counts.directories.add() }
        let descriptor = try tree.open(directory)
        var names: [[CChar]] = []
        func hand() {
            guard !names.isEmpty else { return }
            let work = Work.names(names, tree, directory, descriptor)
            names.removeAll(keepingCapacity: true)
            // Not without limit, or all names of a huge directory would be in memory.
            if !queue.push(work, limit: options.threads * 8) { perform(work) }
        }
        defer { hand() }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 15, alignment: 8)
        defer { buffer.deallocate() }
        while !queue.isStopped {
            let isMore = try Syscall.readDirectory(descriptor.fd, using: buffer) { entry in
                let bytes = UnsafeBufferPointer(start: entry.name, count: strlen(entry.name) + 1)
                let name = Array(bytes)
                if name != Self.here, name != Self.above { names.append(name) }
                if names.count == Self.batch { hand() }
                return true
            }
            guard isMore else { break }
        }
    }

    // MARK: One file

    private func warm(
        _ name: [CChar], in directory: WalkDirectory, of tree: WalkTree, open parent: Descriptor
    ) throws(Errno) {
        // One LOOKUP; whatever follows goes to this file and no other.
        let file = Descriptor(
            owning: try Syscall.open(at: parent.fd, name, flags: Syscall.openPath | O_NOFOLLOW))
        let status = try Syscall.status(file.fd)
        guard status.st_dev == tree.device else {
            let path = printable(tree.path(of: name, in: directory))
            return tell("\(path): another file system; left out")
        }
        try warm(file.fd, status)
        if status.st_mode & S_IFMT == S_IFDIR {
            tree.keep(parent, for: directory)
            found(WalkDirectory(parent: directory, name: name), of: tree)
        }
    }

    /// - Parameter file: an `O_PATH` descriptor.
    private func warm(_ file: FileDescriptor, _ status: stat) throws(Errno) {
        let path = DescriptorPath(file)
        try askForAttributes(path, isDirectory: status.st_mode & S_IFMT == S_IFDIR)
        switch status.st_mode & S_IFMT {
        case S_IFDIR: break
        case S_IFLNK:
            counts.symlinks.add()
            _ = try Syscall.readLink(
                file, into: try Syscall.threadBuffer(slot: 1, size: Int(PATH_MAX)))
        case S_IFREG:
            counts.files.add()
            guard status.st_size <= options.maxFileSize else {
                return counts.tooLarge.add()
            }
            try read(path, size: Int64(status.st_size))
        default:
            counts.others.add()
        }
    }

    /// Extended attributes that the kernel and common programs ask for: capabilities when a file is
    /// written or run, access control lists and the list of all for `ls -l` and `cp -a`.
    private func askForAttributes(_ path: DescriptorPath, isDirectory: Bool) throws(Errno) {
        // XATTR_SIZE_MAX of <linux/limits.h>.
        let buffer = try Syscall.threadBuffer(slot: 1, size: 1 << 16)
        try path.withPointer { (path) throws(Errno) in
            func ask(_ call: () throws(Errno) -> Int) throws(Errno) {
                do {
                    _ = try call()
                } catch .noData, .notSupportedOnSocket, .noFunction {
                    // That there is none is an answer, too.
                }
            }
            try ask { () throws(Errno) in
                try Syscall.extendedAttributeNames(of: path, into: buffer)
            }
            var names = ["security.capability", "system.posix_acl_access"]
            if isDirectory { names.append("system.posix_acl_default") }
            for name in names {
                try ask { () throws(Errno) in
                    try Syscall.extendedAttribute(of: path, name, into: buffer)
                }
            }
        }
    }

    /// Reads all of a file past the page cache where that can be: the memory is for others.
    private func read(_ path: DescriptorPath, size: Int64) throws(Errno) {
        do throws(Errno) {
            try read(path, size: size, flags: Syscall.openDirect)
        } catch .invalidArgument {
            try read(path, size: size, flags: 0)
        }
    }

    private func read(_ path: DescriptorPath, size: Int64, flags: Int32) throws(Errno) {
        let file = Descriptor(
            owning: try path.withPointer { (path) throws(Errno) in
                try Syscall.open(path, flags: O_RDONLY | flags)
            })
        var offset: Int64 = 0
        repeat {
            // Whole blocks: the daemon is to see where the file ends.
            let wanted = Int(min(max(size - offset, 1), 1 << 20))
            let buffer = try Syscall.threadBuffer(slot: 0, size: (wanted + 4095) & ~4095)
            let count = try Syscall.readOnce(file.fd, at: offset, into: buffer)
            counts.bytes.add(count)
            offset += Int64(count)
            if count < buffer.count { break }
        } while offset < size
    }
}
