import CFuse3
import Glibc
import Synchronization

/// Ends libfuse's loop from a signal or from another thread.
///
/// libfuse's own handlers only set a flag: they lose a signal that another thread receives, or that
/// arrives after the loop has checked the flag and before it sleeps. Here one thread waits for the
/// signals (and for SIGURG, which `exit` sends it), sets the flag, and interrupts the loop's sleep
/// until the loop has ended.
final class LoopControl: @unchecked Sendable {
    // Safe to share: `session` and `loop` are set before the waiting thread starts.
    private var session: OpaquePointer?
    private var loop = pthread_t()
    private let waiter = Mutex<pthread_t?>(nil)
    private let exitRequested = Atomic(false)
    private let finished = Atomic(false)
    private let signal = Atomic<Int32>(0)

    /// SIGURG: ignored by default, and not used here for its original purpose.
    private static let wake = SIGURG

    /// Once per process, and never undone: sessions may overlap, and an action that one of them
    /// removes is missing in the other.
    private static let installHandlers: Void = {
        // A handler that does nothing, without SA_RESTART: sem_wait(3) returns with EINTR.
        var nothing = sigaction()
        nothing.__sigaction_handler.sa_handler = { _ in }
        sigaction(wake, &nothing, nil)
        // A reader that has closed the pipe is an error of splice(2), not the end of the daemon.
        var ignored = sigaction()
        ignored.__sigaction_handler.sa_handler = SIG_IGN
        sigaction(SIGPIPE, &ignored, nil)
    }()

    func exit() {
        exitRequested.store(true, ordering: .sequentiallyConsistent)
        waiter.withLock { if let thread = $0 { _ = pthread_kill(thread, Self.wake) } }
    }

    /// - Returns: what `body` returns, and the signal that ended it.
    func run(_ session: OpaquePointer, _ body: () -> Int32) -> (Int32, Int32?) {
        self.session = session
        loop = pthread_self()
        finished.store(false, ordering: .sequentiallyConsistent)
        signal.store(0, ordering: .sequentiallyConsistent)

        var old = sigset_t()
        var blocked = Self.endingSignals
        pthread_sigmask(SIG_BLOCK, &blocked, &old)
        // libdispatch's threads, and threads that they start, block it.
        var wake = sigset_t()
        sigemptyset(&wake)
        sigaddset(&wake, Self.wake)
        pthread_sigmask(SIG_UNBLOCK, &wake, nil)
        defer {
            // A second Ctrl-C must not end the process before it has unmounted.
            var none = timespec()
            while sigtimedwait(&blocked, nil, &none) > 0 {}
            pthread_sigmask(SIG_SETMASK, &old, nil)
        }

        _ = Self.installHandlers

        var thread = pthread_t()
        let context = Unmanaged.passUnretained(self).toOpaque()
        let error = pthread_create(&thread, nil, waitForSignals, context)
        if error != 0 { return (-error, nil) }
        waiter.withLock { $0 = thread }
        if exitRequested.load(ordering: .sequentiallyConsistent) {
            fuse_session_exit(session)
        }

        let result = body()

        waiter.withLock { $0 = nil }
        finished.store(true, ordering: .sequentiallyConsistent)
        pthread_kill(thread, Self.wake)
        pthread_join(thread, nil)
        let ending = signal.load(ordering: .sequentiallyConsistent)
        return (result, ending == 0 ? nil : ending)
    }

    fileprivate func wait() {
        var signals = Self.endingSignals
        sigaddset(&signals, Self.wake)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while !finished.load(ordering: .sequentiallyConsistent) {
            var received: Int32 = 0
            if !exitRequested.load(ordering: .sequentiallyConsistent) {
                guard sigwait(&signals, &received) == 0 else { continue }
                if received == Self.wake { continue }
                signal.store(received, ordering: .sequentiallyConsistent)
            }
            endLoop()
        }
    }

    private func endLoop() {
        while !finished.load(ordering: .sequentiallyConsistent) {
            fuse_session_exit(session)
            pthread_kill(loop, Self.wake)
            usleep(1_000)
        }
    }

    static var endingSignals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        return signals
    }
}

private func waitForSignals(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context {
        Unmanaged<LoopControl>.fromOpaque(context).takeUnretainedValue().wait()
    }
    return nil
}
