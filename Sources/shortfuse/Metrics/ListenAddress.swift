import MountRegistry
import NIOCore

/// Where a server listens, as given on the command line: ADDRESS:PORT.
struct ListenAddress: Equatable {
    let socket: SocketAddress

    /// - Throws: `Failure` for what is no numeric address with a port. Names are not looked up: what
    ///   they lead to may change, and with it who can connect.
    init(_ text: String) throws(Failure) {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...])
        else {
            throw Self.failure(text, "not an address and a port")
        }
        var host = String(text[..<colon])
        if host == "localhost" { host = "127.0.0.1" }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = String(host.dropFirst().dropLast()) }
        guard let socket = try? SocketAddress(ipAddress: host, port: Int(port)),
            // An IPv6 address without brackets would leave open where the port begins.
            isBracketed == (socket.protocol == .inet6)
        else {
            throw Self.failure(text, "not a numeric address")
        }
        self.socket = socket
    }

    private static func failure(_ text: String, _ what: String) -> Failure {
        Failure(
            "--listen \(Arguments.printable(text)): \(what); give ADDRESS:PORT, "
                + "such as \(Metrics.defaultListen) or [::1]:\(Metrics.defaultPort)")
    }
}

extension ListenAddress {
    /// As it is given on the command line and stands in a URL.
    static func text(_ address: SocketAddress) -> String {
        let host = address.ipAddress ?? "?"
        return "\(address.protocol == .inet6 ? "[\(host)]" : host):\(address.port ?? 0)"
    }
}
