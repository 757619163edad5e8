import CShortfuseABI
import FuseSession
import Glibc
import Logging
import Syscall
import SystemPackage
import Testing

@testable import KernelCache
@testable import MirrorFS
@testable import StoreFS

/// Changes made in SOURCE by another process, and what the kernel answers then.
@Suite(.enabled(if: geteuid() == 0)) final class SourceChangesTests {
    /// A mirror of a fresh SOURCE.
    final class Mirror {
        let source: String
        private let isMounted: Bool
        let cache: KernelCache
        let mirror: MirrorFS
        let dropper: CacheDropper
        let gauges: CacheGauges
        private let memory = UnsafeMutableRawPointer.allocate(
            byteCount: CacheGauges.byteCount, alignment: 8)
        let root = RequestContext(uid: geteuid(), gid: getegid())

        init(
            _ changes: SourceChanges, openNodes: Int? = nil, byInode: Bool = false,
            isUrgent: Bool = true, onOwnFileSystem: Bool = false
        ) throws {
            var template = Array("/tmp/mirror-test.XXXXXX".utf8CString)
            source = String(cString: try #require(mkdtemp(&template)))
            isMounted = onOwnFileSystem
            if onOwnFileSystem {
                try Self.shell(
                    """
                    PATH=$PATH:/usr/sbin:/sbin
                    truncate -s 16m \(source).image
                    mkfs.ext4 -q -O ^has_journal \(source).image
                    mount -o loop \(source).image \(source)
                    rm \(source).image
                    """)
            }
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: CacheGauges.byteCount)
            gauges = CacheGauges(memory: memory)
            let nodes = NodeTable()
            cache = try KernelCache(
                options: .init(slots: 256, names: 256, dataBytes: 1 << 18),
                logger: Logger(label: "test"),
                ledger: { nodes.credit(nodeid: $0, lookups: $1) })
            var options = MirrorFS.Options()
            options.gauges = gauges
            options.openNodes = openNodes
            if changes == .watch {
                options.watcher = try SourceWatcher(
                    source: FilePath(source), byInode: byInode, isUrgent: isUrgent)
            }
            mirror = try MirrorFS(
                source: FilePath(source), nodes: nodes, coherence: Coherence(cache: cache),
                options: options, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            // No kernel hears what is to be dropped.
            let nowhere = open("/dev/null", O_WRONLY)
            defer { close(nowhere) }
            let notifier = Notifier()
            try notifier.start(FileDescriptor(rawValue: nowhere))
            dropper = try CacheDropper(notifier)
            try mirror.followSource(changes, dropper: dropper)
        }

        deinit {
            mirror.destroy()
            dropper.stop()
            if isMounted { umount2(source, Int32(MNT_DETACH)) }
            removeTree(source)
            memory.deallocate()
        }

        /// In another process.
        func behind(_ script: String) throws { try Self.shell("cd \(source); " + script) }

        private static func shell(_ script: String) throws {
            var process = pid_t()
            let words = ["sh", "-ec", script]
            var arguments = words.map { strdup($0) } + [nil]
            defer { for argument in arguments { free(argument) } }
            try #require(posix_spawn(&process, "/bin/sh", nil, nil, &arguments, environ) == 0)
            var status: Int32 = 0
            waitpid(process, &status, 0)
            try #require(status == 0)
        }

        func lookup(_ name: String, in parent: NodeID = rootNodeID) throws -> NodeID {
            try mirror.asRequest { try mirror.lookup(root, parent: parent, name: name).nodeID }
        }

        /// Waits until `condition`, for so many milliseconds.
        func eventually(
            within milliseconds: Int = 2000, _ condition: () throws -> Bool
        ) rethrows -> Bool {
            for _ in 0..<milliseconds {
                if try condition() { return true }
                usleep(1000)
            }
            return try condition()
        }
    }

    /// What the kernel answers about "file", "absent", "dir" and the root.
    struct Answers: Equatable {
        var file: Bool, absent: Bool, attributes: Bool, rootAttributes: Bool, data: Bool
        static let all = Self(
            file: true, absent: true, attributes: true, rootAttributes: true, data: true)
    }

    private func warm(_ mirror: Mirror) throws -> NodeID {
        let node = try mirror.lookup("file")
        #expect(throws: Errno.noSuchFileOrDirectory) { try mirror.lookup("absent") }
        _ = try mirror.mirror.attributes(mirror.root, of: rootNodeID, handle: nil)
        let opened = try mirror.mirror.open(mirror.root, node: node, flags: O_RDONLY)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { buffer.deallocate() }
        _ = try mirror.mirror.read(
            mirror.root, node: node, handle: opened.handle, offset: 0, into: buffer)
        mirror.mirror.release(node: node, handle: opened.handle)
        return node
    }

    private func answers(_ mirror: Mirror, _ node: NodeID) throws -> Answers {
        Answers(
            file: try !mirror.cache.lookup(rootNodeID, Array("file".utf8)).isPass,
            absent: try !mirror.cache.lookup(rootNodeID, Array("absent".utf8)).isPass,
            attributes: try mirror.cache.getattr(node).reply != nil,
            rootAttributes: try mirror.cache.getattr(rootNodeID).reply != nil,
            data: try mirror.cache.read(node, 0, 4096) != nil)
    }

    enum Change: String, CaseIterable {
        case write = "printf new >file"
        case append = "printf more >>file"
        case mode = "chmod 600 file"
        case time = "touch -d 2001-01-01 file"
        case link = "ln file other"
        case attribute = "setfattr -n user.test -v x file"
        case rename = "mv file moved"
        case replace = "printf new >temporary; mv temporary file"
        case remove = "rm file"
        case create = ": >absent"
        case makeDirectory = "mkdir absent"
        case symlink = "ln -s file absent"
        case renameTo = "mv file absent"

        /// What is to be forgotten; the rest may be, too.
        var concerned: [WritableKeyPath<Answers, Bool>] {
            switch self {
            case .write, .append: [\.attributes, \.data]
            case .mode, .time, .attribute: [\.attributes]
            case .link: [\.attributes, \.rootAttributes]
            case .rename, .replace, .remove: [\.file, \.attributes, \.rootAttributes]
            case .create, .makeDirectory, .symlink: [\.absent, \.rootAttributes]
            case .renameTo: [\.file, \.absent, \.rootAttributes]
            }
        }
    }

    @Test(arguments: Change.allCases, [false, true])
    func isForgotten(_ change: Change, byInode: Bool) throws {
        let mirror = try Mirror(.watch, byInode: byInode)
        try mirror.behind("printf old >file")
        usleep(50_000)
        let node = try warm(mirror)
        #expect(try answers(mirror, node) == .all)
        try mirror.behind(change.rawValue)
        for path in change.concerned {
            #expect(try mirror.eventually { try !answers(mirror, node)[keyPath: path] })
        }
    }

    /// The twin of the test above: nothing is forgotten where nobody watches.
    @Test(arguments: Change.allCases) func isNotForgottenUnwatched(_ change: Change) throws {
        let mirror = try Mirror(.none)
        try mirror.behind("printf old >file")
        let node = try warm(mirror)
        try mirror.behind(change.rawValue)
        usleep(100_000)
        #expect(try answers(mirror, node) == .all)
    }

    @Test(arguments: [false, true]) func unrelatedChangesForgetNothing(byInode: Bool) throws {
        let mirror = try Mirror(.watch, byInode: byInode)
        try mirror.behind("printf old >file; mkdir sub; : >sub/a")
        usleep(50_000)
        let node = try warm(mirror)
        // File by file, what nobody has looked up is not told.
        if byInode { _ = try mirror.lookup("a", in: try mirror.lookup("sub")) }
        let seen = mirror.gauges[.sourceChanges]
        try mirror.behind("printf new >sub/a; rm sub/a")
        #expect(mirror.eventually { mirror.gauges[.sourceChanges] > seen + 1 })
        #expect(try answers(mirror, node) == .all)
    }

    /// Somebody who watches a directory of SOURCE sees what is done there, and not that the daemon looks.
    /// Opening a directory by handle that is just being removed would read the one that it was in. On a
    /// file system that nobody else on this machine watches.
    @Test func whoWatchesIsNotSeen() throws {
        let mirror = try Mirror(.watch, onOwnFileSystem: true)
        try mirror.behind("mkdir dir")
        _ = try mirror.lookup("dir")
        let queue = try Syscall.makeInodeWatch()
        defer { Syscall.close(queue) }
        let looks = [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE].reduce(0, |)
        try #require(
            inotify_add_watch(queue.rawValue, mirror.source + "/dir", UInt32(looks)) >= 0)
        let seen = mirror.gauges[.sourceChanges]
        // At all moments between the two the watcher may be about the first.
        try mirror.behind(
            """
            exec perl -e 'for (1..60000) {
                mkdir "dir/sub"; for (my $i = rand 2000; $i > 0; $i--) {} rmdir "dir/sub"
            }'
            """)
        #expect(mirror.eventually { mirror.gauges[.sourceChanges] > seen })
        usleep(50_000)
        var events = [UInt8](repeating: 0, count: 4096)
        #expect(read(queue.rawValue, &events, events.count) == -1 && errno == EAGAIN)
    }

    /// What the daemon itself does is told, too, and must be told apart.
    @Test func ownChangesForgetNothing() throws {
        let mirror = try Mirror(.watch)
        try mirror.behind("printf old >file")
        usleep(50_000)
        _ = try mirror.lookup("file")
        let made = try mirror.mirror.create(
            mirror.root, parent: rootNodeID, name: "own", mode: S_IFREG | 0o644, flags: O_RDWR)
        mirror.mirror.release(node: made.entry.nodeID, handle: made.file.handle)
        usleep(50_000)
        #expect(try mirror.cache.getattr(made.entry.nodeID).reply != nil)
        #expect(try mirror.cache.getattr(rootNodeID).reply != nil)
        #expect(try !mirror.cache.lookup(rootNodeID, Array("own".utf8)).isPass)
    }

    /// The queue holds 16,384 events; the thread that empties it waits for the test.
    @Test(arguments: [false, true]) func aFullQueueForgetsEverything(byInode: Bool) throws {
        let mirror = try Mirror(.watch, byInode: byInode)
        try mirror.behind("printf old >file; : >held; mkdir many")
        usleep(50_000)
        let node = try warm(mirror)
        _ = try mirror.lookup("many")
        let watcher = try #require(mirror.mirror.options.watcher)
        try watcher.turn.withLock { _ in
            try mirror.behind("printf x >held; cd many; seq 20000 | xargs touch")
        }
        #expect(
            mirror.eventually(within: 10_000) { mirror.gauges[.sourceOverflows] > 0 })
        #expect(try !answers(mirror, node).attributes)
        #expect(try !answers(mirror, node).data)
        #expect(try !answers(mirror, node).file)
        // And is cached again.
        #expect(try warm(mirror) == node)
        #expect(
            try mirror.eventually {
                _ = try warm(mirror)
                return try answers(mirror, node) == .all
            })
    }

    /// A change that is told when a file's state has been read, but its node is not there yet: what is
    /// published then is old.
    @Test(arguments: [false, true]) func isForgottenBeforeItsNodeComes(byInode: Bool) throws {
        let mirror = try Mirror(.watch, byInode: byInode)
        try mirror.behind(": >file")
        usleep(50_000)
        let watcher = try #require(mirror.mirror.options.watcher)
        let fd = try Syscall.open(mirror.source + "/file", flags: Flag.path)
        let identity = Identity(try Syscall.status(fd))
        // As `MirrorFS.grant` does it.
        let node = try mirror.mirror.coherence.withNode(identity.lockKey) {
            (hold) throws(Errno) in
            let coverage = watcher.cover(
                identity, mode: S_IFREG, fd, handle: try Syscall.handle(of: fd).handle)
            let status = try Syscall.status(fd)
            let seen = mirror.gauges[.sourceChanges]
            do { try mirror.behind("chmod 600 file") } catch { throw .ioError }
            #expect(mirror.eventually { mirror.gauges[.sourceChanges] > seen })
            usleep(50_000)
            let pool = mirror.mirror.descriptors
            let granted = mirror.mirror.nodes.grant(identity, known: nil, lost: nil) { id in
                Node(
                    id: id, identity: identity,
                    MirrorFile(of: id, owning: fd, pool: pool, coverage: coverage))
            }
            guard let (node, isNew) = granted, isNew else { throw .ioError }
            hold.publish(nodeid: node.id, attributes: status, &node.versions)
            return node
        }
        #expect(try mirror.eventually { try mirror.cache.getattr(node.id).reply == nil })
    }

    /// What inotify tells of too little: a directory that is removed, or replaced, while it is known, and
    /// a file that changes by a name in a directory that nobody has looked up.
    @Test(
        arguments: ["rmdir dir", "mkdir other; mv -T other dir", ": >hidden/other"], [false, true])
    func isForgottenFromAfar(_ change: String, byInode: Bool) throws {
        let mirror = try Mirror(.watch, byInode: byInode)
        try mirror.behind("mkdir dir hidden; : >file; ln file hidden/other")
        usleep(50_000)
        let nodes = try [mirror.lookup("dir"), mirror.lookup("file")]
        for node in nodes { #expect(try mirror.cache.getattr(node).reply != nil) }
        try mirror.behind(change)
        let changed = change.hasPrefix(":") ? nodes[1] : nodes[0]
        #expect(try mirror.eventually { try mirror.cache.getattr(changed).reply == nil })
    }

    /// Watches end with their nodes.
    @Test func forgottenNodesAreNotWatched() throws {
        let mirror = try Mirror(.watch, byInode: true)
        try mirror.behind("seq 100 | xargs touch")
        let nodes = try (1...100).map { try mirror.lookup("\($0)") }
        let watcher = try #require(mirror.mirror.options.watcher)
        #expect(watcher.inodes.count == 101)
        for node in nodes { mirror.mirror.forget(node: node, count: 1) }
        #expect(watcher.inodes.count == 1)
    }

    /// A node that is not open, of a file that is gone: only the handle is left of both.
    @Test func aParkedNodeIsForgottenWithItsFile() throws {
        let mirror = try Mirror(.watch, openNodes: 8)
        try mirror.behind("seq 100 | xargs touch")
        usleep(50_000)
        var nodes: [NodeID] = []
        for number in 1...100 { nodes.append(try mirror.lookup("\(number)")) }
        // A lookup starts the pass that closes descriptors.
        #expect(
            try mirror.eventually(within: 20_000) {
                _ = try mirror.lookup("1")
                return mirror.mirror.descriptors.openCount < 20
            })
        usleep(100_000)
        let cached = try nodes.filter { try mirror.cache.getattr($0).reply != nil }
        #expect(cached.count == nodes.count)
        try mirror.behind("rm *")
        for node in nodes {
            #expect(try mirror.eventually { try mirror.cache.getattr(node).reply == nil })
        }
    }

    /// All that is cached is as in SOURCE, and what somebody has changed unseen is found.
    @Test(arguments: ["chmod 600 file", "printf new >file", "rm file", ": >absent"])
    func verifyFindsWhatDiffers(_ change: String) throws {
        let mirror = try Mirror(.none)
        try mirror.behind("printf old >file; mkfifo fifo")
        _ = try warm(mirror)
        // To open it would wait for a writer.
        _ = try mirror.lookup("fifo")
        try mirror.mirror.verify(rate: 100)
        #expect(mirror.eventually { mirror.gauges[.verified] > 50 })
        #expect(mirror.gauges[.differences] == 0)
        try mirror.behind(change)
        #expect(mirror.eventually(within: 10_000) { mirror.gauges[.differences] > 0 })
    }

    @Test func nothingIsOlderThanItsTime() throws {
        let mirror = try Mirror(.ttl(milliseconds: 200))
        try mirror.behind("printf old >file")
        let node = try warm(mirror)
        try mirror.behind("printf newer >file; rm file")
        #expect(
            try mirror.eventually(within: 1000) {
                let now = try answers(mirror, node)
                return !now.file && !now.absent && !now.attributes && !now.rootAttributes
                    && !now.data
            })
    }
}
