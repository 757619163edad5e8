import FuseSession

/// What the kernel and the daemon agreed on at INIT, in the state and in `status`.
struct ConnectionState: Codable, Equatable, Sendable {
    /// "7.45": of <linux/fuse.h>.
    var protocolVersion: String
    /// As fuse_common.h names them, in lower case.
    var capabilities: [String]
    /// Bytes.
    var maxWrite: UInt32
    /// Bytes.
    var maxReadahead: UInt32

    enum CodingKeys: String, CodingKey {
        case protocolVersion = "protocol"
        case capabilities
        case maxWrite = "max_write"
        case maxReadahead = "max_readahead"
    }

    /// For people.
    var lines: [String] {
        [
            "protocol \(protocolVersion), max_write \(maxWrite), max_readahead \(maxReadahead)",
            "capabilities: " + capabilities.joined(separator: " "),
        ]
    }
}

extension ConnectionState {
    init(_ agreement: Agreement) {
        protocolVersion = "\(agreement.protocolVersion.major).\(agreement.protocolVersion.minor)"
        capabilities = agreement.capabilities.names
        maxWrite = agreement.maxWrite
        maxReadahead = agreement.maxReadahead
    }
}
