import Glibc
import MountRegistry

/// What the daemon and its waiting parent say to each other.
enum Word: Equatable {
    /// The daemon: mounted here, about to serve. Now the parent asks the mount.
    case mounted(Path)
    /// The parent: the mount has answered.
    case answered
    /// The daemon: all is well; the line for the user.
    case ready(String)
    /// The daemon: it ends, and why.
    case failed(String)

    var bytes: [UInt8] {
        switch self {
        case .mounted(let path): [UInt8(ascii: "?")] + path.bytes
        case .answered: [UInt8(ascii: "!")]
        case .ready(let text): [UInt8(ascii: "+")] + text.utf8
        case .failed(let text): [UInt8(ascii: "-")] + text.utf8
        }
    }

    init?(_ bytes: some Collection<UInt8>) {
        let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
        switch bytes.first {
        case UInt8(ascii: "?"): self = .mounted(Path(bytes: bytes.dropFirst()))
        case UInt8(ascii: "!"): self = .answered
        case UInt8(ascii: "+"): self = .ready(text)
        case UInt8(ascii: "-"): self = .failed(text)
        default: return nil
        }
    }
}

/// One end of the line between the daemon and its parent: a socket that keeps words apart.
struct Line: Sendable {
    let descriptor: CInt

    /// Longer than a path and a reason.
    private static let longest = 1 << 16

    /// Both ends are closed in programs that are started later.
    static func pair() -> (parent: Line, daemon: Line)? {
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { return nil }
        return (Line(descriptor: ends[0]), Line(descriptor: ends[1]))
    }

    /// False if nobody is at the other end.
    func send(_ word: Word) -> Bool {
        let bytes = word.bytes.prefix(Self.longest)
        while true {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count >= 0 { return true }
            guard errno == EINTR else { return false }
        }
    }

    /// Waits for the next word; nil if none can come any more.
    func receive() -> Word? {
        var bytes = [UInt8](repeating: 0, count: Self.longest)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, 0)
            if count > 0 { return Word(bytes[..<count]) }
            guard count < 0, errno == EINTR else { return nil }
        }
    }

    /// Ends a `receive` of another thread.
    func stopReceiving() {
        shutdown(descriptor, CInt(SHUT_RD))
    }

    /// To the other end it is as if nobody were here any more, though its words still come in.
    func stopSending() {
        shutdown(descriptor, CInt(SHUT_WR))
    }

    func close() {
        Glibc.close(descriptor)
    }
}
