import CShortfuseABI
import Glibc

/// Versions of a node's cached state, which change when it becomes invalid: kept by the
/// daemon for each node, and read and changed only by the node's `NodeHold`.
public struct Versions: Sendable {
    /// The version of the data, or of a directory's names. Unique among all nodes for the daemon's
    /// life.
    public internal(set) var version: UInt64 = 0
    /// For a file, the version of the kernel's page cache. For a directory, the version of which
    /// the kernel has the whole listing, 0 for none.
    var kept: UInt64 = 0
    /// The version at which the listing that the kernel is reading began.
    var listing: UInt64 = 0
    /// ctime in nanoseconds when the attributes were last read, 0 if unknown: if it changed
    /// without us, there was a change behind the mount.
    var ctime: Int64 = 0
    // Small fields last: every node has these.
    /// The version of the extended attributes; unique for the node.
    var xattrVersion: UInt32 = 0
    /// When the current attributes were first returned to the kernel, in ticks of `NativeCaches`;
    /// 0: not since they changed, `Versions.always`: it may keep them at once.
    var told: UInt32 = 0
    /// The fingerprint of the attributes returned to the kernel; 0: none since they changed.
    var print: UInt32 = 0
    /// The number of its names that are being removed while others stay: see
    /// `NodeHold.beginRemoval`.
    var removals: UInt8 = 0
    /// The daemon was able to open it for reading.
    var mayOpen = false
    /// The kernel may have attributes or access control lists that are valid.
    var isHeld = false
    /// Published so that the programs may let the kernel keep them.
    var isOffered = false

    public init() {}

    /// Long enough ago that it is settled.
    static let always = SF_TOLD_ALWAYS
    /// Never to be kept.
    static let never = SF_TOLD_NEVER

    /// The value of `kept` in the slot.
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
    /// The extended attributes, including access control lists.
    public static let xattrs = Self(rawValue: 4)
}
