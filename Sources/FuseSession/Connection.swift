import CFuse3

/// What the kernel offers at INIT, and what the file system uses of it.
public struct Connection: ~Copyable {
    private let info: UnsafeMutablePointer<fuse_conn_info>

    init(_ info: UnsafeMutablePointer<fuse_conn_info>) {
        self.info = info
    }

    public var protocolVersion: (major: UInt32, minor: UInt32) {
        (info.pointee.proto_major, info.pointee.proto_minor)
    }

    /// What this kernel supports.
    public var offered: Capabilities { Capabilities(rawValue: info.pointee.capable) }

    /// What is used: initially libfuse's choice, without READDIRPLUS and locks, which each file
    /// system must request. What is not offered is ignored.
    public var wanted: Capabilities {
        get { Capabilities(rawValue: info.pointee.want) }
        set { info.pointee.want = newValue.rawValue & info.pointee.capable }
    }

    /// Bytes of the largest WRITE.
    public var maxWrite: UInt32 {
        get { info.pointee.max_write }
        set { info.pointee.max_write = newValue }
    }

    /// Bytes that the kernel reads ahead.
    public var maxReadahead: UInt32 {
        get { info.pointee.max_readahead }
        set { info.pointee.max_readahead = newValue }
    }

    /// The maximum of readahead and asynchronous direct requests in progress.
    public var maxBackground: UInt32 {
        get { info.pointee.max_background }
        set { info.pointee.max_background = newValue }
    }
}

/// `FUSE_CAP_*`; fuse_common.h describes each.
public struct Capabilities: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let asynchronousRead = Self(rawValue: 1 << 0)
    /// OPEN truncates; without it the kernel sends a SETATTR first.
    public static let atomicTruncate = Self(rawValue: 1 << 3)
    /// The kernel does not apply the caller's umask.
    public static let leavesMask = Self(rawValue: 1 << 6)
    /// READ replies of `ReadResult.file` are sent by splice(2).
    public static let spliceWrite = Self(rawValue: 1 << 7)
    public static let spliceMove = Self(rawValue: 1 << 8)
    /// Requests are received by splice(2): saves a copy of each WRITE, costs two more system calls
    /// for every other request.
    public static let spliceRead = Self(rawValue: 1 << 9)
    public static let automaticInvalidation = Self(rawValue: 1 << 12)
    public static let readDirectoryPlus = Self(rawValue: 1 << 13)
    public static let readDirectoryPlusAdaptive = Self(rawValue: 1 << 14)
    public static let asynchronousDirect = Self(rawValue: 1 << 15)
    public static let writebackCache = Self(rawValue: 1 << 16)
    public static let parallelDirectoryOperations = Self(rawValue: 1 << 18)
    /// The kernel requests POSIX access control lists (`system.posix_acl_access`) and enforces
    /// them; implies `default_permissions`. Its checks fail with any error of GETXATTR except
    /// `ENODATA`.
    public static let accessControlLists = Self(rawValue: 1 << 19)
    /// The file system, not the kernel, clears set-user-id bits on writes.
    public static let handlesKillPrivileges = Self(rawValue: 1 << 20)
    public static let cacheSymlinks = Self(rawValue: 1 << 23)
    /// A new modification time drops no pages: only FUSE_NOTIFY_INVAL_INODE does.
    public static let explicitInvalidation = Self(rawValue: 1 << 25)
}
