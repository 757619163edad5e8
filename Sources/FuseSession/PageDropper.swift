import CFuse3
import Glibc
import Syscall
import SystemPackage

/// Tells the kernel to drop what it has of a node in its page cache (FUSE_NOTIFY_INVAL_INODE), for
/// changes that did not come through the mount.
///
/// The kernel waits for pages that are being read until that READ is replied to. So the call
///
/// 1. is made on a thread of its own, which holds no lock and serves no request: else a READ could wait
///    for the thread that waits for it;
/// 2. must not keep /dev/fuse open when the daemon is killed, or a READ that nobody will answer keeps
///    this thread, and with it the process, for ever. The thread has a descriptor table of its own
///    with nothing but a copy of /dev/fuse in it. All others are closed when the other threads end,
///    whatever this one is doing; among them /dev/shortfuse, upon which the module aborts the
///    connection.
public final class PageDropper: @unchecked Sendable {
    // Safe to share: guarded by `monitor`.
    private let monitor = Monitor()
    private var pending: Set<NodeID> = []
    /// Set when the thread runs, or cannot.
    private var outcome: Result<Void, Errno>?
    private var isStopped = false

    /// - Parameter device: the session's open /dev/fuse; it is duplicated.
    /// - Throws: `EMFILE`, `EAGAIN`; what unshare(2) throws, without which nothing could be dropped.
    public init(device: FileDescriptor) throws(Errno) {
        let copy = Descriptor(owning: try Syscall.duplicate(device))
        let fd = copy.fd
        try Worker("pages") { [self] in run(fd) }.detach()
        // The process's copy may go only when the thread has its own.
        let start = monitor.withLock {
            while true {
                if let outcome { return outcome }
                monitor.wait()
            }
        }
        withExtendedLifetime(copy) {}
        try start.get()
    }

    /// The pages of `node` are to go, soon.
    public func drop(_ node: NodeID) {
        monitor.withLock {
            if isStopped { return }
            pending.insert(node)
            monitor.signal()
        }
    }

    /// Ends the thread, when it has ended what it is doing. It is not waited for.
    public func stop() {
        monitor.withLock {
            isStopped = true
            pending = []
            monitor.broadcast()
        }
    }

    private func run(_ device: FileDescriptor) {
        // Without a table of its own the thread might keep the process from ending.
        let start = Result { () throws(Errno) in try Syscall.keepOnly(device) }
        monitor.withLock {
            outcome = start
            monitor.broadcast()
        }
        if case .failure = start { return }
        while let nodes = next() {
            for node in nodes {
                // Failures: the kernel knows the node no more, or the connection is gone.
                try? Self.notify(device, node)
            }
        }
    }

    private func next() -> Set<NodeID>? {
        monitor.withLock {
            while pending.isEmpty, !isStopped { monitor.wait() }
            defer { pending = [] }
            return isStopped ? nil : pending
        }
    }

    /// Not by libfuse, whose session closes its /dev/fuse while this thread may be at work.
    private static func notify(_ device: FileDescriptor, _ node: NodeID) throws(Errno) {
        try withUnsafeBytes(of: cfuse3_inval_inode_message(node)) { (bytes) throws(Errno) in
            try Syscall.writeMessage(device, bytes)
        }
    }
}
