import CLinux
import Glibc
import SystemPackage

/// A thread that runs one function.
public final class Worker: @unchecked Sendable {
    // Safe to share: `thread` is set before the object is shared, and joined once.
    private var thread = pthread_t()

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Starts a thread.
    /// - Parameters:
    ///   - name: as `ps -L` shows it; up to 15 bytes.
    ///   - body: what the thread runs; the thread ends when it returns.
    /// - Throws: `EAGAIN` if no more threads can be created.
    public init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        let context = Unmanaged.passRetained(Body(name, body))
        let error = pthread_create(
            &thread, nil,
            { context in
                if let context {
                    let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
                    linux_name_thread(body.name)
                    body.run()
                }
                return nil
            }, context.toOpaque())
        guard error == 0 else {
            context.release()
            throw Errno(rawValue: error)
        }
    }

    /// Waits for the end of the thread, unless the caller is that thread. Call it once.
    public func join() {
        if pthread_equal(thread, pthread_self()) != 0 { return detach() }
        pthread_join(thread, nil)
    }

    /// Declares that the thread will not be joined.
    public func detach() {
        pthread_detach(thread)
    }
}
