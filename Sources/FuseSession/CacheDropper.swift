import DequeModule
import Glibc
import Syscall
import SystemPackage

/// Makes the kernel drop names, pages and listings from its own caches, for changes that were not
/// made through the mount.
///
/// For a page that is being read, the kernel waits until the READ has its reply; for a directory,
/// until the request that holds it has. So each such call
///
/// 1. is made on a separate thread, which holds no lock and serves no request: otherwise a READ
///    could wait for the thread that waits for it;
/// 2. must not keep /dev/fuse open when the daemon is killed, or a request that is never answered
///    keeps this thread, and with it the process, forever. The threads have separate descriptor
///    tables, which contain only a copy of /dev/fuse. All other descriptors are closed when the
///    other threads end, whatever these threads are doing; the module or the guardian, which waits
///    for that, aborts the connection;
/// 3. delays only calls for the same directory: while all threads are busy, another one is started.
public final class CacheDropper: @unchecked Sendable {
    // Safe to share: guarded by `monitor`.
    public enum Task: Sendable {
        /// A name in the directory that the task is queued for.
        case entry([CChar])
        /// The pages of a file, or the listing of a directory.
        case pages(NodeID)
        /// The attributes of a node that the kernel did not know: repeated until it does, or
        /// until `isForgotten` returns true.
        case attributes(NodeID)
        /// Nothing: it is done when no request holds the directory.
        case turn
    }

    private struct Item {
        let task: Task
        let done: (@Sendable () -> Void)?
    }

    /// The number of blocked directories that do not delay others; each thread costs a stack.
    private static let maxThreads = 32
    /// Between two attempts for a node that the kernel does not know yet. Shorter: exact sooner,
    /// more work.
    private static let retryMicroseconds: UInt32 = 1_000

    private let monitor = Monitor()
    private let notifier: Notifier
    private let isForgotten: @Sendable (NodeID) -> Bool
    /// Tasks in order, by directory; for an empty list a thread is at work.
    private var queues: [NodeID: [Item]] = [:]
    private var ready: Deque<NodeID> = []
    private var threads = 0
    private var idle = 0
    /// Set when the first thread runs, or has failed to start.
    private var outcome: Result<Void, Errno>?
    private var isStopped = false

    /// - Parameters:
    ///   - notifier: already started.
    ///   - isForgotten: whether the kernel has forgotten the node, so that `Task.attributes` of it
    ///     ends. Called on the dropper's threads.
    /// - Throws: `EBADF`, `EAGAIN`; what unshare(2) throws, without which nothing could be dropped.
    public init(
        _ notifier: Notifier, isForgotten: @escaping @Sendable (NodeID) -> Bool = { _ in false }
    ) throws(Errno) {
        self.notifier = notifier
        self.isForgotten = isForgotten
        threads = 1
        try startThread()
        let start = monitor.withLock {
            while true {
                if let outcome { return outcome }
                monitor.wait()
            }
        }
        try start.get()
    }

    /// Queues a task after all tasks for the same directory.
    /// - Parameters:
    ///   - task: what the kernel is to drop.
    ///   - directory: the nodeid of the directory of a `Task.entry` or `Task.turn`. For other tasks
    ///     any number, such as the node's own nodeid: it only decides which are done in order.
    ///   - done: called after the task, on a thread that holds no lock; not if the dropper stops.
    public func drop(
        _ task: Task, in directory: NodeID, done: (@Sendable () -> Void)? = nil
    ) {
        let needsThread = monitor.withLock {
            if isStopped { return false }
            if queues[directory] == nil { ready.append(directory) }
            queues[directory, default: []].append(Item(task: task, done: done))
            if idle > 0 {
                monitor.signal()
                return false
            }
            guard threads < Self.maxThreads, !ready.isEmpty else { return false }
            threads += 1
            return true
        }
        guard needsThread else { return }
        do throws(Errno) {
            try startThread()
        } catch {
            // The existing threads will get to it.
            monitor.withLock { threads -= 1 }
        }
    }

    /// Queues dropping the pages of `node`.
    public func drop(_ node: NodeID) { drop(.pages(node), in: node) }

    /// Ends the threads when they have finished their tasks. Does not wait for them.
    public func stop() {
        monitor.withLock {
            isStopped = true
            queues = [:]
            ready = []
            monitor.broadcast()
        }
    }

    private func startThread() throws(Errno) {
        guard let device = notifier.descriptor else { throw .badFileDescriptor }
        try Worker("drop") { [self] in run(device) }.detach()
    }

    private func run(_ device: FileDescriptor) {
        // Without a separate table the thread might keep the process from ending.
        let start = Result { () throws(Errno) in try Syscall.keepOnly(device) }
        monitor.withLock {
            if outcome == nil { outcome = start }
            if case .failure = start { threads -= 1 }
            monitor.broadcast()
        }
        if case .failure = start { return }
        while let (directory, items) = next() {
            for item in items {
                perform(item.task, in: directory, device)
                item.done?()
            }
            finish(directory)
        }
    }

    /// All that is queued for one directory; no other thread takes more of it until `finish`.
    private func next() -> (NodeID, [Item])? {
        monitor.withLock {
            idle += 1
            defer { idle -= 1 }
            while ready.isEmpty, !isStopped { monitor.wait() }
            guard !isStopped, let directory = ready.popFirst() else { return nil }
            let items = queues[directory] ?? []
            queues[directory] = []
            return (directory, items)
        }
    }

    private func finish(_ directory: NodeID) {
        monitor.withLock {
            if queues[directory]?.isEmpty ?? true {
                queues[directory] = nil
            } else {
                ready.append(directory)
            }
        }
    }

    private func perform(_ task: Task, in directory: NodeID, _ device: FileDescriptor) {
        switch task {
        case .entry(let name): Notifier.dropEntry(directory, name, device)
        case .pages(let node): _ = Notifier.dropPages(of: node, device)
        // No file has this name, and the kernel takes the directory's lock before it looks.
        case .turn: Notifier.dropEntry(directory, "/", device)
        case .attributes(let node):
            while !Notifier.dropAttributes(of: node, device), !isForgotten(node),
                !monitor.withLock({ isStopped })
            {
                usleep(Self.retryMicroseconds)
            }
        }
    }
}
