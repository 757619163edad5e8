import CFuse3
import Glibc
import Logging
import Synchronization
import Syscall

/// Why a session failed: one line.
public struct SessionError: Error, CustomStringConvertible {
    public let description: String

    /// - Parameters:
    ///   - task: "mount /mnt".
    ///   - reason: libfuse's message, if there was one.
    init(doing task: String, _ reason: String?) {
        description = "cannot \(task): \(reason ?? "no reason given")"
    }
}

/// Passes libfuse's messages to the log and to `collecting`, since libfuse's functions report the
/// reason of a failure only there. One per process, like libfuse's own log.
enum LibraryLog {
    private struct State {
        var log: Logger?
        /// The last message of each collecting thread.
        var collected: [pthread_t: String?] = [:]
    }

    private static let state = Mutex(State())

    /// Runs `body`, and also returns the last message that it logged on this thread.
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
        // What becomes an error is reported where it is caught.
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
