import CFuse3
import Glibc
import Logging
import Synchronization
import Syscall

/// Why a session could not do something: one line.
public struct SessionError: Error, CustomStringConvertible {
    public let description: String

    /// - Parameters:
    ///   - task: "mount /mnt".
    ///   - reason: libfuse's own words, if it had any.
    init(doing task: String, _ reason: String?) {
        description = "cannot \(task): \(reason ?? "no reason given")"
    }
}

/// libfuse's messages: to the log, and to whoever waits for the reason of a failure, since
/// libfuse's functions tell it only there. One for the process, as libfuse's own log is.
enum LibraryLog {
    private struct State {
        var log: Logger?
        /// The last message of each thread that collects.
        var collected: [pthread_t: String?] = [:]
    }

    private static let state = Mutex(State())

    /// Runs `body` and also returns the last message that it gave on this thread.
    static func collecting<R>(_ body: () -> R) -> (R, String?) {
        let thread = pthread_self()
        state.withLock { $0.collected[thread] = .some(nil) }
        let result = body()
        return (result, state.withLock { $0.collected.removeValue(forKey: thread) } ?? nil)
    }

    static func install(_ log: Logger) {
        state.withLock { $0.log = log }
        _ = installSink
    }

    private static let installSink: Void = cfuse3_set_log_sink { level, message in
        guard let message else { return }
        // It may hold a path, of any bytes.
        let bytes = UnsafeBufferPointer(start: message, count: strlen(message))
        LibraryLog.receive(
            level, RawText.escape(bytes.map { UInt8(bitPattern: $0) }, inOneLine: true))
    }

    private static func receive(_ level: Int32, _ message: String) {
        let prefix = "fuse: "
        let text = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
        let thread = pthread_self()
        let (log, isCollected) = state.withLock { state in
            let isCollected = state.collected[thread] != nil
            if isCollected { state.collected[thread] = text }
            return (state.log, isCollected)
        }
        // What becomes an error is told by whoever catches it.
        if isCollected {
            log?.debug("\(text)")
            return
        }
        // The numbers of syslog(3): 3 is LOG_ERR, 4 LOG_WARNING, 7 LOG_DEBUG.
        switch level {
        case ...3: log?.error("\(text)")
        case 4: log?.warning("\(text)")
        case 5, 6: log?.info("\(text)")
        default: log?.debug("\(text)")
        }
    }
}
