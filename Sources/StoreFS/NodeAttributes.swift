import FuseSession
import Glibc

/// What stat(2) returns for a node.
public struct NodeAttributes: Sendable, Codable {
    /// What a node is. It never changes.
    public enum Kind: Sendable, Codable, Equatable {
        /// A regular file, a directory, or a symbolic link.
        case file, directory, symlink
        /// A device with its number, a FIFO or a socket: the type bits of mknod(2).
        case special(mode_t, dev_t)

        var typeBits: mode_t {
            switch self {
            case .file: S_IFREG
            case .directory: S_IFDIR
            case .symlink: S_IFLNK
            case .special(let type, _): type & S_IFMT
            }
        }
    }

    /// `st_ino`: unique, and never reused for another node while the mount lasts.
    public var inode: UInt64
    /// What the node is.
    public var kind: Kind
    /// The twelve permission bits: `0o644`, with set-user-ID, set-group-ID and the sticky bit above them.
    public var permissions: mode_t
    /// The number of names; for a directory 2 plus its subdirectories, or always 1.
    public var links: UInt64 = 1
    /// The owner: root by default.
    public var uid: uid_t = 0
    /// The group: root's by default.
    public var gid: gid_t = 0
    /// The length of a file, or of the target of a symbolic link, in bytes.
    public var size: Int64 = 0
    /// When it was last read, if the store records that: it is not told of accesses.
    public var accessed = Timestamp()
    /// When the data of a file last changed, or a name was added to or removed from a directory. Each
    /// change must give another time: the kernel uses it to check whether its cached data is valid.
    public var modified = Timestamp()
    /// When anything of the node changed, including attributes.
    public var changed = Timestamp()

    /// Makes attributes of a node that root owns, with one name and with all times in 1970.
    public init(_ kind: Kind, inode: UInt64, permissions: mode_t, size: Int64 = 0) {
        self.kind = kind
        self.inode = inode
        self.permissions = permissions
        self.size = size
    }

    /// In the form that the kernel expects.
    var status: stat {
        var status = stat()
        status.st_ino = ino_t(inode)
        status.st_mode = kind.typeBits | permissions & 0o7777
        status.st_nlink = nlink_t(links)
        status.st_uid = uid
        status.st_gid = gid
        status.st_size = off_t(size)
        status.st_blocks = blkcnt_t(size / 512 + (size % 512 > 0 ? 1 : 0))
        status.st_blksize = 4096
        status.st_atim = accessed.time
        status.st_mtim = modified.time
        status.st_ctim = changed.time
        if case .special(_, let device) = kind { status.st_rdev = device }
        return status
    }
}

/// A time since 1970, UTC.
public struct Timestamp: Sendable, Codable, Comparable {
    /// Whole seconds; negative before 1970.
    public var seconds: Int
    /// 0 to 999,999,999, after `seconds`.
    public var nanoseconds: Int

    /// Makes a time: by default the beginning of 1970.
    public init(seconds: Int = 0, nanoseconds: Int = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// CLOCK_REALTIME.
    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
    }

    /// Now, or a nanosecond after `other` if that is later: for times that distinguish states.
    public static func now(after other: Timestamp) -> Timestamp {
        let next =
            other.nanoseconds == 999_999_999
            ? Timestamp(seconds: other.seconds + 1)
            : Timestamp(seconds: other.seconds, nanoseconds: other.nanoseconds + 1)
        return max(now, next)
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }

    var time: timespec { timespec(tv_sec: seconds, tv_nsec: nanoseconds) }
}
