import CFuse3
import Glibc
import SystemPackage

/// The kernel's number for a node of the file system; 1 is the root.
public typealias NodeID = UInt64

/// The file system's number for an open file (`fh`).
public typealias FileHandle = UInt64

public let rootNodeID: NodeID = 1

/// The reply to LOOKUP and to requests that add a name.
public struct Entry: Sendable {
    /// 0: the name does not exist, and the kernel may remember that for `entryTimeout`.
    public var nodeID: NodeID
    public var attributes: stat
    /// Seconds for which the kernel may keep it.
    public var entryTimeout: Double
    public var attributeTimeout: Double

    public init(
        nodeID: NodeID, attributes: stat, entryTimeout: Double = 0, attributeTimeout: Double = 0
    ) {
        self.nodeID = nodeID
        self.attributes = attributes
        self.entryTimeout = entryTimeout
        self.attributeTimeout = attributeTimeout
    }

    var parameters: fuse_entry_param {
        // Generation 0: nodeids are never reused.
        fuse_entry_param(
            ino: nodeID, generation: 0, attr: attributes, attr_timeout: attributeTimeout,
            entry_timeout: entryTimeout)
    }
}

/// The reply to GETATTR and SETATTR.
public struct Attributes: Sendable {
    public var status: stat
    /// Seconds for which the kernel may keep them.
    public var timeout: Double

    public init(_ status: stat, timeout: Double = 0) {
        self.status = status
        self.timeout = timeout
    }
}

/// What SETATTR changes: nil means no change.
public struct AttributeChanges: Sendable, Codable {
    public enum Time: Equatable, Sendable, Codable {
        case now
        /// Seconds and nanoseconds since 1970.
        case at(seconds: Int, nanoseconds: Int)
    }

    /// Permission bits and the file type.
    public var mode: mode_t?
    public var uid: uid_t?
    public var gid: gid_t?
    /// Bytes.
    public var size: Int64?
    public var accessTime: Time?
    public var modificationTime: Time?

    public init() {}

    public var isEmpty: Bool {
        mode == nil && uid == nil && gid == nil && size == nil && accessTime == nil
            && modificationTime == nil
    }

    init(_ attributes: stat, mask: Int32) {
        if mask & FUSE_SET_ATTR_MODE != 0 { mode = attributes.st_mode }
        if mask & FUSE_SET_ATTR_UID != 0 { uid = attributes.st_uid }
        if mask & FUSE_SET_ATTR_GID != 0 { gid = attributes.st_gid }
        if mask & FUSE_SET_ATTR_SIZE != 0 { size = Int64(attributes.st_size) }
        accessTime = Self.time(
            attributes.st_atim, set: mask & FUSE_SET_ATTR_ATIME,
            now: mask & FUSE_SET_ATTR_ATIME_NOW)
        modificationTime = Self.time(
            attributes.st_mtim, set: mask & FUSE_SET_ATTR_MTIME,
            now: mask & FUSE_SET_ATTR_MTIME_NOW)
        // CTIME is sent only with the write-back cache, and no system call sets it. KILL_SUID and
        // KILL_SGID are sent only with FUSE_HANDLE_KILLPRIV_V2, which libfuse 3.14 does not
        // support.
    }

    private static func time(_ value: timespec, set: Int32, now: Int32) -> Time? {
        if now != 0 { return .now }
        return set != 0 ? .at(seconds: value.tv_sec, nanoseconds: value.tv_nsec) : nil
    }
}

/// The reply to OPEN and OPENDIR; later requests on the open file return the handle.
public struct OpenFile: Sendable {
    public var handle: FileHandle
    /// Keep what the page cache has of the file (`FOPEN_KEEP_CACHE`).
    public var keepsCache = false
    /// Bypass the page cache (`FOPEN_DIRECT_IO`).
    public var isDirect = false
    /// No FLUSH at close(2) (`FOPEN_NOFLUSH`).
    public var skipsFlush = false
    /// Keep what READDIR returned (`FOPEN_CACHE_DIR`).
    public var cachesEntries = false

    public init(handle: FileHandle) {
        self.handle = handle
    }

    func store(in info: UnsafeMutablePointer<fuse_file_info>) {
        info.pointee.fh = handle
        info.pointee.keep_cache = keepsCache ? 1 : 0
        info.pointee.direct_io = isDirect ? 1 : 0
        info.pointee.noflush = skipsFlush ? 1 : 0
        info.pointee.cache_readdir = cachesEntries ? 1 : 0
    }
}

/// Where the data of a READ is.
public enum ReadResult: Sendable {
    /// In the buffer: this many bytes from its start.
    case bytes(Int)
    /// In this file, from `offset` on; sent by splice(2) where that is faster. The descriptor must
    /// stay open until RELEASE.
    case file(FileDescriptor, offset: Int64)
}

/// One side of COPY_FILE_RANGE.
public struct FileRange: Sendable {
    public var node: NodeID
    public var handle: FileHandle
    /// Bytes from the start of the file.
    public var offset: Int64

    public init(node: NodeID, handle: FileHandle, offset: Int64) {
        self.node = node
        self.handle = handle
        self.offset = offset
    }
}
