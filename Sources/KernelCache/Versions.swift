import CShortfuseABI
import Glibc

/// What of a node's cached state is still true, in numbers that change when it is not: kept by the
/// daemon for each node, and read and changed only by the node's `NodeHold`.
public struct Versions: Sendable {
    /// Of the data; of a directory: of its names. Unique among all nodes for the daemon's life.
    public internal(set) var version: UInt64 = 0
    /// A file: the version that the kernel's page cache is of. A directory: the version of which
    /// the kernel has the whole listing, 0 for none.
    var kept: UInt64 = 0
    /// The listing that the kernel is taking at the moment began at this version.
    var listing: UInt64 = 0
    /// ctime in nanoseconds when the attributes were last read, 0 if unknown: one that moved
    /// without us tells of a change behind the mount.
    var ctime: Int64 = 0
    // The small ones last: every node has these.
    /// Of the extended attributes; unique for the node.
    var xattrVersion: UInt32 = 0
    /// When the kernel was first told the present attributes, in ticks of `NativeCaches`; 0: not since
    /// they changed, `Versions.always`: it may keep them at once.
    var told: UInt32 = 0
    /// Of the attributes that the kernel was told; 0: none since they changed.
    var print: UInt32 = 0
    /// Names of it that are being removed, among others that stay: see `NodeHold.beginRemoval`.
    var removals: UInt8 = 0
    /// The daemon could open it for reading.
    var mayOpen = false
    /// The kernel may have attributes, or access control lists, that it need not ask for again.
    var isHeld = false
    /// Published so that the programs may let the kernel keep them.
    var isOffered = false

    public init() {}

    /// So long ago that all is settled.
    static let always = SF_TOLD_ALWAYS
    /// Never to be kept.
    static let never = SF_TOLD_NEVER

    /// What the slot says as `kept`.
    var published: UInt64 { mayOpen ? kept : 0 }
}

/// What a change concerns, besides a node's attributes.
public struct ChangeScope: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The data of a file.
    public static let data = Self(rawValue: 1)
    /// The names in a directory.
    public static let names = Self(rawValue: 2)
    /// The extended attributes, access control lists among them.
    public static let xattrs = Self(rawValue: 4)
}
