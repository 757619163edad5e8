import FuseSession
import Glibc
import SystemPackage
import Testing

/// A session fed with raw requests, as the kernel would write them (<linux/fuse.h>), and the raw
/// replies.
final class RawChannel {
    let session: Session
    let kernel: FileDescriptor
    private var unique: UInt64 = 0

    /// - Parameter initializes: sends INIT first and throws its reply away.
    init(
        _ fileSystem: any FileSystem, counters: RequestCounters? = nil,
        latency: LatencyBuckets? = nil, initializes: Bool = true
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        var pair: [Int32] = [0, 0]
        let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        kernel = FileDescriptor(rawValue: pair[0])
        session = try Session(fileSystem, counters: counters, latency: latency)
        try session.serve(channel: FileDescriptor(rawValue: pair[1]))
        if initializes { _ = try #require(ask(.initialize, body: Self.initRequest)) }
    }

    deinit {
        hangUp()
        _ = close(kernel.rawValue)
    }

    /// The other side reads an end of file and cannot write.
    func hangUp() { _ = shutdown(kernel.rawValue, Int32(SHUT_RDWR)) }

    /// struct fuse_init_in: version 7.38, readahead 128 KiB, no flags.
    static let initRequest = Bytes().u32(7).u32(38).u32(131_072).u32(0)

    /// struct fuse_in_header, then `body`.
    static func message(
        _ opcode: UInt32, unique: UInt64, node: UInt64, uid: UInt32 = 0, body: Bytes
    ) -> [UInt8] {
        Bytes().u32(UInt32(40 + body.bytes.count)).u32(opcode).u64(unique).u64(node)
            .u32(uid).u32(uid).u32(0).u32(0).bytes + body.bytes
    }

    func send(_ opcode: UInt32, node: UInt64 = 1, body: Bytes = Bytes()) {
        unique += 1
        let message = Self.message(opcode, unique: unique, node: node, body: body)
        message.withUnsafeBytes { session.process($0) }
    }

    /// Sends a request and returns its reply; nil if there is none.
    func ask(_ opcode: Opcode, node: UInt64 = 1, body: Bytes = Bytes()) -> Reply? {
        send(UInt32(opcode.rawValue), node: node, body: body)
        return receive()
    }

    func receive(wait: Bool = false) -> Reply? {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let flags = wait ? 0 : Int32(MSG_DONTWAIT)
        let count = recv(kernel.rawValue, &buffer, buffer.count, flags)
        guard count >= 16 else { return nil }
        return Reply(Array(buffer[..<count]))
    }
}

/// struct fuse_out_header and what follows.
struct Reply: Equatable {
    let length: UInt32
    /// 0 or a negative errno.
    let error: Int32
    let unique: UInt64
    let body: [UInt8]

    init(_ bytes: [UInt8]) {
        length = bytes.u32(at: 0)
        error = Int32(bitPattern: bytes.u32(at: 4))
        unique = bytes.u64(at: 8)
        body = Array(bytes[16...])
    }
}

/// Builds a message in the host's byte order.
struct Bytes {
    var bytes: [UInt8] = []

    func u32(_ value: UInt32) -> Bytes { appending(value) }
    func u64(_ value: UInt64) -> Bytes { appending(value) }
    func name(_ name: String) -> Bytes { Bytes(bytes: bytes + Array(name.utf8) + [0]) }

    private func appending(_ value: some FixedWidthInteger) -> Bytes {
        Bytes(bytes: bytes + withUnsafeBytes(of: value) { Array($0) })
    }
}

extension [UInt8] {
    func u32(at offset: Int) -> UInt32 {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }

    func u64(at offset: Int) -> UInt64 {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
    }
}
