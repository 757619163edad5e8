import FuseSession

/// What the kernel and the daemon agreed on at INIT, in the state and in `status`.
package struct ConnectionState: Codable, Equatable, Sendable {
    /// "7.45": of <linux/fuse.h>.
    package var protocolVersion: String
    /// As fuse_common.h names them, in lower case.
    package var capabilities: [String]
    /// Bytes.
    package var maxWrite: UInt32
    /// Bytes.
    package var maxReadahead: UInt32

    package enum CodingKeys: String, CodingKey {
        case protocolVersion = "protocol"
        case capabilities
        case maxWrite = "max_write"
        case maxReadahead = "max_readahead"
    }

    /// For people.
    package var lines: [String] {
        [
            "protocol \(protocolVersion), max_write \(maxWrite), max_readahead \(maxReadahead)",
            "capabilities: " + capabilities.joined(separator: " "),
        ]
    }
}

extension ConnectionState {
    package init(_ agreement: Agreement) {
        protocolVersion = "\(agreement.protocolVersion.major).\(agreement.protocolVersion.minor)"
        capabilities = agreement.capabilities.names
        maxWrite = agreement.maxWrite
        maxReadahead = agreement.maxReadahead
    }
}
