import Dispatch
import FoundationEssentials
import Glibc
import StoreFS

typealias Question = RemoteQuestion<Int>
typealias Reply = RemoteReply<Int>

/// Messages over a stream socket: their number, the lengths of body and data, both. One thread receives;
/// any may send.
final class Wire<Sent: Codable & Sendable, Received: Codable & Sendable>: @unchecked Sendable {
    // Safe to share: constant; stdio locks its streams.
    private let descriptor: CInt
    private let stream: UnsafeMutablePointer<FILE>?
    /// Sends in order, and may have to wait for a peer that is stopped.
    private let queue = DispatchQueue(label: "send")

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
        stream = fdopen(descriptor, "r")
    }

    deinit { if let stream { fclose(stream) } }

    /// Ends the connection: whoever receives gets nil.
    func end() { shutdown(descriptor, CInt(SHUT_RDWR)) }

    func send(_ message: RemoteMessage<Sent>) {
        queue.async { [self] in
            guard let body = try? JSONEncoder().encode(message.body) else { return end() }
            var bytes: [UInt8] = []
            for number in [message.number, UInt64(body.count), UInt64(message.data.count)] {
                withUnsafeBytes(of: number) { bytes += $0 }
            }
            bytes += body + message.data
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
                }
                if count <= 0 { return end() }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Nil: the connection has ended, or the peer does not speak the language.
    func receive() -> RemoteMessage<Received>? {
        guard let header = receive(24) else { return nil }
        let words = header.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
        guard words[1] < 1 << 26, words[2] < 1 << 26, let body = receive(Int(words[1])),
            let data = receive(Int(words[2])),
            let decoded = try? JSONDecoder().decode(Received.self, from: Data(body))
        else { return nil }
        return RemoteMessage(decoded, number: words[0], data: data)
    }

    private func receive(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return stream.map { fread(&bytes, 1, count, $0) } == count ? bytes : nil
    }
}

extension Wire: RemoteConnection where Sent == Question, Received == Reply {
    typealias ID = Int

    /// Nil: nobody serves there.
    convenience init?(server path: String) {
        self.init(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        guard withAddress(path, { connect(descriptor, $0, $1) }) == 0 else { return nil }
    }
}

/// Calls `body`, which is bind(2) or connect(2), with the address of the socket at `path`.
func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
