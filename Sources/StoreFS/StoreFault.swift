import Glibc

/// Planted faults, which Tests/system/stores must find. Without `-D FAULTS` there are none.
enum StoreFault: String {
    /// No change is announced.
    case untold
    /// The server recalls nothing.
    case noRecall
    /// The server does not wait until a recall is answered.
    case noWait
    /// A client that lost its connection drops nothing.
    case keepsAll
    /// Only the client's own clock ends its lease.
    case ownClock

    #if FAULTS
        private static let name = getenv("SHORTFUSE_STORE_FAULT").map { String(cString: $0) }
        var isPlanted: Bool { Self.name == rawValue }

        /// Not a fault: this client answers slowly, so that a server that does not wait is found.
        private static let isSlow = getenv("SHORTFUSE_STORE_SLOW") != nil
        static func pauseIfSlow() { if isSlow { usleep(100_000) } }
    #else
        var isPlanted: Bool { false }
        static func pauseIfSlow() {}
    #endif
}
