import FuseSession
import Glibc
import Synchronization

/// `Session.run` on a thread of its own: it blocks, and the threads of Swift's tasks are few.
final class BackgroundRun: Sendable {
    private let session: Session
    private let outcome = Mutex<Result<Int32?, SessionError>?>(nil)
    private let thread = Mutex(pthread_t())

    init(_ session: Session) {
        self.session = session
        let context = Unmanaged.passRetained(self).toOpaque()
        thread.withLock { thread in
            _ = pthread_create(&thread, nil, runSession, context)
        }
    }

    /// Waits for the end of `run`; returns or throws what it did.
    func wait() throws -> Int32? {
        pthread_join(thread.withLock { $0 }, nil)
        return try outcome.withLock { $0 }?.get() ?? nil
    }

    fileprivate func run() {
        let result = Result { () throws(SessionError) in try session.run() }
        outcome.withLock { $0 = result }
    }
}

private func runSession(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<BackgroundRun>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}
