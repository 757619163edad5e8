import CFuse3
import Logging
import Synchronization
import SystemPackage

/// Why a session could not do something: one line.
public struct SessionError: Error, CustomStringConvertible {
    public let description: String

    /// - Parameter task: "mount /mnt".
    init(doing task: String, _ error: Errno? = nil) {
        let reason = LibraryLog.last ?? error.map { "\($0)" } ?? "no reason given"
        description = "cannot \(task): \(reason)"
    }
}

/// libfuse's messages: to the log, and the last one kept, since its functions say why they failed
/// only there. One for the process, as libfuse's own log is.
enum LibraryLog {
    private struct State {
        var log: Logger?
        var last: String?
    }

    private static let state = Mutex(State())

    static var last: String? { state.withLock { $0.last } }

    static func clear() {
        state.withLock { $0.last = nil }
    }

    static func install(_ log: Logger) {
        state.withLock { $0.log = log }
        cfuse3_set_log_sink { level, message in
            guard let message else { return }
            LibraryLog.receive(level, String(cString: message))
        }
    }

    private static func receive(_ level: Int32, _ message: String) {
        let prefix = "fuse: "
        let text = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
        let log = state.withLock { state in
            state.last = text
            return state.log
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
