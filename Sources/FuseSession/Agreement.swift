/// What the kernel and the file system agreed on at INIT.
public struct Agreement: Sendable {
    /// The version of <linux/fuse.h> that the kernel reported.
    public let protocolVersion: (major: UInt32, minor: UInt32)
    public let capabilities: Capabilities
    /// Bytes of the largest WRITE.
    public let maxWrite: UInt32
    /// Bytes.
    public let maxReadahead: UInt32

    init(_ connection: borrowing Connection) {
        protocolVersion = connection.protocolVersion
        capabilities = connection.wanted
        maxWrite = connection.maxWrite
        maxReadahead = connection.maxReadahead
    }
}

extension Capabilities {
    /// The names of fuse_common.h, in lower case and without `FUSE_CAP_`; unknown bits by number.
    public var names: [String] {
        (0..<32).filter { rawValue & 1 << UInt32($0) != 0 }.map {
            $0 < Self.allNames.count && !Self.allNames[$0].isEmpty
                ? Self.allNames[$0] : "capability_\($0)"
        }
    }

    /// By bit.
    private static let allNames = [
        "async_read", "posix_locks", "", "atomic_o_trunc", "export_support", "", "dont_mask",
        "splice_write", "splice_move", "splice_read", "flock_locks", "ioctl_dir",
        "auto_inval_data", "readdirplus", "readdirplus_auto", "async_dio", "writeback_cache",
        "no_open_support", "parallel_dirops", "posix_acl", "handle_killpriv", "", "",
        "cache_symlinks", "no_opendir_support", "explicit_inval_data", "expire_only",
    ]
}
