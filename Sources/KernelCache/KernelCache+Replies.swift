import CLibBPF
import CShortfuseABI
import Glibc
import Synchronization
import Syscall
import SystemPackage

/// The reply to READLINK, GETXATTR, LISTXATTR or STATFS that the kernel returns.
public struct CachedReply {
    /// The maximum size in bytes.
    public static let maxSize = Int(SF_REPLY_MAX.rawValue)

    var reply = sf_reply()

    /// These bytes; nil if they are too long.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= Self.maxSize else { return nil }
        withUnsafeMutableBytes(of: &reply.bytes) { $0.copyMemory(from: bytes) }
        reply.size = UInt32(bytes.count)
    }

    /// This error.
    public init(_ error: Errno) {
        reply.error = -error.rawValue
    }

    /// The reply to STATFS.
    public init(_ statistics: statvfs) {
        withUnsafePointer(to: statistics) { sf_reply_statfs(&reply, $0) }
    }
}

/// The request that a reply answers.
public enum CachedQuestion {
    case readLink
    /// The value of the attribute with this name.
    case extendedAttribute(UnsafePointer<CChar>)
    case extendedAttributeNames
    case statistics
}

/// Short replies, in a hash map written by system calls.
extension KernelCache {
    /// The maximum age of STATFS; no other reply may be old.
    private static let statisticsLife: UInt64 = 1_000_000_000

    /// A reply that does not fit only costs speed. Nothing needs to be revoked: a new version
    /// of the extended attributes invalidates it.
    func publishReply(
        nodeid: UInt64, xattrVersion: UInt32, question: CachedQuestion, reply: CachedReply
    ) {
        guard var key = Self.key(nodeid: nodeid, question) else { return }
        var value = reply.reply
        value.xattr_version = xattrVersion
        value.generation = freshNumber()
        if key.opcode == FUSE_STATFS.rawValue {
            // The clock of bpf_ktime_get_ns.
            value.expires = Syscall.monotonicNanoseconds() &+ Self.statisticsLife
        }
        _ = bpf_map_update_elem(object.maps.replies, &key, &value, UInt64(BPF_ANY))
    }

    /// True if the kernel has answered STATFS of `nodeid` since it was last published.
    func areStatisticsUsed(nodeid: UInt64) -> Bool {
        guard var key = Self.key(nodeid: nodeid, .statistics) else { return false }
        var value = sf_reply()
        return bpf_map_lookup_elem(object.maps.replies, &key, &value) == 0 && value.used != 0
    }

    private static func key(nodeid: UInt64, _ question: CachedQuestion) -> sf_reply_key? {
        var key = sf_reply_key()
        key.nodeid = nodeid
        switch question {
        case .readLink: key.opcode = FUSE_READLINK.rawValue
        case .extendedAttributeNames: key.opcode = FUSE_LISTXATTR.rawValue
        case .statistics: key.opcode = FUSE_STATFS.rawValue
        case .extendedAttribute(let name):
            key.opcode = FUSE_GETXATTR.rawValue
            let length = strlen(name)
            guard length < SF_REPLY_NAME.rawValue else { return nil }
            withUnsafeMutableBytes(of: &key.name) {
                $0.copyMemory(from: .init(start: name, count: length))
            }
        }
        return key
    }
}
