import Dispatch
import FoundationEssentials
import FuseSession
import Glibc
import StoreFS
import SystemPackage

/// What a client asks of the server.
enum Question: Codable {
    case attributes(Int)
    case find(FileName, in: Int)
    case list(Int)
    case read(Int, at: Int64, count: Int)
    case target(Int)
    case extendedAttribute(String, of: Int)
    case extendedAttributeNames(Int)
    /// The bytes of a write are the message's data.
    case change(Change<Int>, by: Caller)
    /// Asks for the lease to be extended; the first one makes the client known.
    case extendLease
    /// As `Store.forget`.
    case forget(Int, times: Int)
    /// All that recall `number` names has been dropped.
    case dropped(Int)
}

enum Reply: Codable {
    case attributes(NodeAttributes)
    case found(Found<Int>?)
    case listed([Listed])
    /// The message's data.
    case data
    /// There is no such extended attribute.
    case none
    case names([String])
    case failed(Int32)
    /// The lease now lasts so many nanoseconds from when it was asked for.
    case lease(UInt64)
    /// Not a reply: drop this before it changes, and say so.
    case recall(Int, [Concern<Int>])
}

/// A message: its number, by which a reply finds its question, a body and bulk data.
struct Message<Body: Codable & Sendable>: Sendable {
    var number: UInt64
    var body: Body
    var data: [UInt8] = []
}

/// Messages over a stream socket. One thread receives; any may send.
final class Wire: @unchecked Sendable {
    // Safe to share: constant; stdio locks its streams.
    let descriptor: CInt
    private let stream: UnsafeMutablePointer<FILE>?
    /// Sends in order, and may have to wait for a peer that is stopped.
    private let queue = DispatchQueue(label: "send")

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
        stream = fdopen(descriptor, "r")
    }

    deinit { if let stream { fclose(stream) } }

    /// Calls `body`, which is bind(2) or connect(2), with the address of the socket at `path`.
    static func with(
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

    /// Ends the connection: whoever receives gets nil.
    func end() { shutdown(descriptor, CInt(SHUT_RDWR)) }

    /// Waits for nobody.
    func send<Body>(_ message: Message<Body>) {
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
    func receive<Body: Decodable>(_ type: Body.Type) -> Message<Body>? {
        guard let header = receive(24) else { return nil }
        let words = header.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
        guard words[1] < 1 << 26, words[2] < 1 << 26, let body = receive(Int(words[1])),
            let data = receive(Int(words[2])),
            let decoded = try? JSONDecoder().decode(type, from: Data(body))
        else { return nil }
        return Message(number: words[0], body: decoded, data: data)
    }

    private func receive(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return stream.map { fread(&bytes, 1, count, $0) } == count ? bytes : nil
    }
}

extension Change where ID == Int {
    /// Without the bytes of a write, which travel as they are.
    var withoutData: (Change, [UInt8]) {
        guard case .write(let node, let bytes, let offset) = self else { return (self, []) }
        return (.write(node, [], at: offset), bytes)
    }

    func adding(_ data: [UInt8]) -> Change {
        guard case .write(let node, _, let offset) = self else { return self }
        return .write(node, data, at: offset)
    }
}
