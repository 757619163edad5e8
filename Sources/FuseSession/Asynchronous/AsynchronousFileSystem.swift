import Glibc
import SystemPackage

/// A FUSE file system whose operations may take long: each is a task, and no thread waits for it.
///
/// A request has copies of its names and data, because it outlives the call that received it.
public protocol AsynchronousFileSystem: Sendable {
    /// INIT: the first request. `connection` has what the kernel offers, and takes what to use.
    func initialize(_ connection: inout Connection)
    /// FORGET: subtracts `count` from the nlookup of `node`. The kernel waits for no reply.
    func forget(node: NodeID, count: UInt64)
    /// Answers `request`. Starts on the thread that received it, which is free as soon as the
    /// operation suspends.
    ///
    /// The task is cancelled when the caller is killed.
    /// - Throws: the error to reply with. `ENOSYS`: see fuse_lowlevel.h for each opcode.
    func answer(_ request: FileRequest, from caller: Caller) async throws(Errno) -> FileReply
}

/// Who sent a request.
public struct Caller: Sendable, Codable {
    public let uid: uid_t
    public let gid: gid_t
    /// 0 if unknown in this pid namespace, or if the kernel sends the request by itself.
    public let pid: pid_t

    public init(uid: uid_t, gid: gid_t, pid: pid_t = 0) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
    }

    init(_ context: RequestContext) {
        self.init(uid: context.uid, gid: context.gid, pid: context.pid)
    }
}

/// A request from the kernel, which has checked permissions (`default_permissions`) and applied the
/// umask to modes.
public enum FileRequest: Sendable {
    case lookup(parent: NodeID, FileName)
    case attributes(NodeID)
    case setAttributes(NodeID, AttributeChanges)
    case readLink(NodeID)
    case statistics(NodeID)
    /// Any type except directories and symbolic links, given by the type bits of `mode`.
    case makeNode(parent: NodeID, FileName, mode: mode_t, device: dev_t)
    case makeDirectory(parent: NodeID, FileName, mode: mode_t)
    case makeSymlink(parent: NodeID, FileName, target: [UInt8])
    case makeLink(NodeID, parent: NodeID, FileName)
    case removeFile(parent: NodeID, FileName)
    case removeDirectory(parent: NodeID, FileName)
    /// `flags`: `RENAME_*` of renameat2(2).
    case rename(
        parent: NodeID, FileName, newParent: NodeID, newName: FileName, flags: UInt32)
    case open(NodeID, flags: Int32)
    case create(parent: NodeID, FileName, mode: mode_t, flags: Int32)
    /// Fewer than `count` bytes in the reply: the end of the file.
    case read(NodeID, offset: Int64, count: Int)
    /// `appends`: the file is open with `O_APPEND`, and `offset` is where the kernel assumes its
    /// end.
    case write(NodeID, offset: Int64, appends: Bool, [UInt8])
    case openDirectory(NodeID)
    /// `offset`: 0, or the `next` of the last entry that the caller has. `size`: bytes of the
    /// reply.
    case readDirectory(NodeID, offset: Int64, size: Int)
    case extendedAttribute(NodeID, name: String)
    case extendedAttributeNames(NodeID)
    /// `flags`: `XATTR_*` of setxattr(2).
    case setExtendedAttribute(NodeID, name: String, [UInt8], flags: Int32)
    case removeExtendedAttribute(NodeID, name: String)

    /// Whether it adds, removes or moves a name.
    package var changesNames: Bool {
        switch self {
        case .makeNode, .makeDirectory, .makeSymlink, .makeLink, .create, .removeFile,
            .removeDirectory, .rename:
            true
        default: false
        }
    }
}

/// What `AsynchronousFileSystem.answer` replies with.
public enum FileReply: Sendable {
    case done
    /// For LOOKUP and requests that add a name. Increments the nlookup of the entry's node.
    case entry(Entry)
    case attributes(Attributes)
    case opened(OpenFile)
    case created(Entry, OpenFile)
    /// Data, the target of a link, a listing (`DirectoryBuffer`), an extended attribute, or the
    /// names of all, each with a NUL.
    case bytes([UInt8])
    /// Bytes written.
    case count(Int)
    case statistics(statvfs)

    /// The node whose nlookup this increments, if any.
    public var granted: NodeID? {
        switch self {
        case .entry(let entry), .created(let entry, _): entry.nodeID == 0 ? nil : entry.nodeID
        default: nil
        }
    }
}
