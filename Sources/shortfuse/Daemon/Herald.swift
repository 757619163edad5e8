import Glibc
import MountRegistry
import Synchronization
import SystemPackage

/// The daemon's word to whoever started it: that the mount answers, or why it does not.
///
/// No thread of the daemon asks the daemon's own mount. A killed process whose thread waits for its
/// own answer keeps /dev/fuse open, so the wait has no end. In the background the parent asks; in
/// the foreground nobody waits, and the kernel keeps what is asked until the session's loop runs.
final class Herald: @unchecked Sendable {
    // Safe to share: constant but for `stage`, which is locked, and for `thread`, `announcement`
    // and `lost`, which are set before the listening thread starts.

    private enum Stage {
        /// Nobody was told anything.
        case silent
        /// The parent knows of the mount and asks it.
        case asked
        /// Whoever waited knows how it went.
        case told
        /// The parent went away while it waited.
        case alone
    }

    private let line: Line?
    private let stage = Mutex(Stage.silent)
    private var thread: pthread_t?
    private var announcement = ""
    private var answered: () -> Void = {}
    private var lost: () -> Void = {}

    /// - Parameter descriptor: the line to the waiting parent; nil in the foreground.
    convenience init(descriptor: CInt?) {
        self.init(line: descriptor.map { Line(descriptor: $0) })
        if let descriptor {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            setsid()
        }
    }

    init(line: Line?) {
        self.line = line
    }

    var isInBackground: Bool { line != nil }

    /// True once anything was told, or nobody is left to be told.
    var hasReported: Bool { stage.withLock { $0 == .told || $0 == .alone } }

    /// Tells that `mountpoint` is mounted and about to be served. `finish` must follow.
    ///
    /// - Parameters:
    ///   - announcement: the line for the user, given once the mount has answered.
    ///   - answered: called when it has, before the user knows; in the background only.
    ///   - lost: called if the parent goes away while it waits: the user does not want the mount
    ///     any more. Either is called from a thread of its own.
    func reportMounted(
        at mountpoint: Path, announcement: String, answered: @escaping () -> Void,
        lost: @escaping () -> Void
    ) throws(Failure) {
        guard let line else {
            stage.withLock { $0 = .told }
            // Not print(): its buffer may wait until the end of the daemon.
            write(line: announcement, to: STDOUT_FILENO)
            return
        }
        self.announcement = announcement
        self.answered = answered
        self.lost = lost
        stage.withLock { $0 = .asked }
        // If the parent is gone already, the thread finds out.
        _ = line.send(.mounted(mountpoint))
        var thread = pthread_t()
        let herald = Unmanaged.passRetained(self)
        let error = pthread_create(&thread, nil, listenToParent, herald.toOpaque())
        guard error == 0 else {
            herald.release()
            stage.withLock { $0 = .silent }
            throw Failure("\(mountpoint): no thread: \(Errno(rawValue: error))")
        }
        self.thread = thread
    }

    /// The session has ended: from here on the parent's answer comes too late.
    func finish() {
        stage.withLock {
            guard $0 == .asked else { return }
            $0 = .silent
            line?.stopReceiving()
        }
        if let thread { pthread_join(thread, nil) }
        thread = nil
    }

    /// False if nobody listens here.
    func reportFailure(_ text: String) -> Bool {
        stage.withLock {
            guard let line, $0 == .silent else { return false }
            $0 = .told
            defer { line.close() }
            return line.send(.failed(text))
        }
    }

    fileprivate func listen() {
        let word = line?.receive()
        let isLost = stage.withLock {
            guard let line, $0 == .asked else { return false }
            guard case .answered = word else {
                // The line stays open until the process ends: a parent that gave up sees that.
                $0 = .alone
                return true
            }
            $0 = .told
            answered()
            defer { line.close() }
            return !line.send(.ready(announcement))
        }
        if isLost { lost() }
    }
}

private func listenToParent(_ herald: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let herald {
        Unmanaged<Herald>.fromOpaque(herald).takeRetainedValue().listen()
    }
    return nil
}
