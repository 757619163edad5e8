import FuseSession
import Glibc
import SystemPackage

/// What the author of a file system writes: which nodes exist, and how they change. `StoreMount`
/// does the rest.
///
/// A node is a file, a directory or a symbolic link, identified by an `ID` that the store chooses. It
/// keeps this ID until it is forgotten, whatever its names.
///
/// Operations run concurrently, and may take long: they do not occupy a thread each. Each throws the
/// `Errno` that the caller's system call fails with. The kernel checks permissions by owner and
/// mode before it requests a change.
public protocol Store: Sendable {
    /// Identifies a node: a number, a path, a key of a database. It is never reused for another node
    /// while the mount lasts.
    associatedtype ID: Hashable & Sendable

    /// The directory that is mounted. It always exists.
    var root: ID { get }
    /// True: the mount is read-only, and `apply` is never called. The default is false.
    var isReadOnly: Bool { get }

    /// The attributes of a node.
    /// - Throws: `ESTALE` for a node that no longer exists.
    func attributes(of node: ID) async throws(Errno) -> Answer<NodeAttributes>
    /// The node that `name` in `directory` leads to; nil: no such name.
    func find(_ name: FileName, in directory: ID) async throws(Errno) -> Answer<Found<ID>?>
    /// All names in `directory`, without `.` and `..`, in any order. The default fails with `ENOSYS`.
    ///
    /// The kernel keeps a listing until the directory's `NodeAttributes.modified` changes, or until it
    /// is notified; `Answer.kept` makes no difference.
    func list(_ directory: ID) async throws(Errno) -> Answer<[Listed]>
    /// Up to `count` bytes of `file` from `offset` on. Fewer: the file ends there; none: `offset` is at
    /// or after its end. `offset` and `count` are in bytes, and not negative. The default fails with
    /// `ENOSYS`.
    ///
    /// `Answer.kept` applies to the maps. The kernel keeps pages of the file in any case, until its
    /// `NodeAttributes.modified` or `NodeAttributes.size` changes, or until it is notified.
    func read(_ file: ID, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]>
    /// The target of a symbolic link, which never changes: bytes without NUL, in no particular encoding.
    /// The default fails with `EINVAL`.
    func target(of link: ID) async throws(Errno) -> [UInt8]
    /// The value of an extended attribute, at most 64 KiB; nil: there is none of this name. The name
    /// includes its prefix, such as `user.`.
    ///
    /// The default fails with `ENOSYS`: the kernel then returns `EOPNOTSUPP`, and sends no more requests.
    func extendedAttribute(
        _ name: String, of node: ID
    ) async throws(Errno) -> Answer<[UInt8]?>
    /// The names of all extended attributes, with their prefixes. The default fails with `ENOSYS`, as
    /// that of `extendedAttribute`. Names that begin with `trusted.` are shown to user 0 only.
    func extendedAttributeNames(of node: ID) async throws(Errno) -> Answer<[String]>
    /// Sizes and limits: statvfs(3). By default there are no blocks, and names have up to 255 bytes. The
    /// answer is never kept.
    func statistics() async throws(Errno) -> statvfs

    /// Makes a change. When it returns, the change is visible in all answers of the store. The default
    /// fails with `EROFS`.
    ///
    /// The store updates what changes with it: `NodeAttributes.changed` of each node, `modified` of a
    /// file that is written and of a directory whose names change, and `links`.
    /// - Returns: the node that was created, linked or changed, with its new attributes; nil for
    ///   `remove`, `rename`, `write` and `setExtendedAttribute`.
    func apply(_ change: Change<ID>, by caller: Caller) async throws(Errno) -> Found<ID>?

    /// Called before the first request. The store reports changes that do not come from `apply` to
    /// `changes`; if there are none, it need not keep it.
    func begin(_ changes: ChangeSink<ID>)
    /// Subtracts `times` from how often `find`, or `apply` with `make` or `link`, has returned `node`.
    /// At zero the node is known only by its names, and one without names may be freed. Called under a
    /// lock, so it must not wait.
    func forget(_ node: ID, times: Int)
}

/// Defaults for what a read-only store does not need.
extension Store {
    public var isReadOnly: Bool { false }

    public func list(_ directory: ID) async throws(Errno) -> Answer<[Listed]> {
        throw .noFunction
    }

    public func read(
        _ file: ID, at offset: Int64, count: Int
    ) async throws(Errno) -> Answer<[UInt8]> { throw .noFunction }

    public func target(of link: ID) async throws(Errno) -> [UInt8] { throw .invalidArgument }

    public func extendedAttribute(
        _ name: String, of node: ID
    ) async throws(Errno) -> Answer<[UInt8]?> { throw .noFunction }

    public func extendedAttributeNames(
        of node: ID
    ) async throws(Errno) -> Answer<[String]> { throw .noFunction }

    public func statistics() async throws(Errno) -> statvfs {
        var statistics = statvfs()
        statistics.f_bsize = 4096
        statistics.f_frsize = 4096
        statistics.f_namemax = 255
        return statistics
    }

    public func apply(
        _ change: Change<ID>, by caller: Caller
    ) async throws(Errno) -> Found<ID>? { throw .readOnlyFileSystem }

    public func begin(_ changes: ChangeSink<ID>) {}
    public func forget(_ node: ID, times: Int) {}
}

/// An answer of a store, and how long it may be reused without asking the store.
public struct Answer<Value: Sendable>: Sendable {
    /// How long an answer may be reused. It may be dropped earlier: if memory is short, or if something
    /// changed while the store was asked.
    public enum Kept: Sendable {
        /// It never changes while the mount lasts.
        case forever
        /// Until a change through the mount concerns it, the store reports one to `ChangeSink`,
        /// or its lease ends.
        case untilTold
        /// It must be requested each time.
        case no
    }

    /// The requested value.
    public var value: Value
    /// How long it is valid.
    public var kept: Kept

    /// Makes an answer.
    public init(_ value: Value, kept: Kept) {
        self.value = value
        self.kept = kept
    }
}

/// A node with its attributes.
public struct Found<ID: Hashable & Sendable>: Sendable {
    /// The node.
    public var id: ID
    /// As `Store.attributes` returns them.
    public var attributes: NodeAttributes

    /// Makes a pair of both.
    public init(_ id: ID, _ attributes: NodeAttributes) {
        self.id = id
        self.attributes = attributes
    }
}

extension Found: Codable where ID: Codable {}

/// An entry of a listing.
public struct Listed: Sendable, Codable {
    /// The name in its directory.
    public var name: FileName
    /// As `NodeAttributes.inode` of the node of this name.
    public var inode: UInt64
    /// As `NodeAttributes.kind`. For a special file only the type bits matter.
    public var kind: NodeAttributes.Kind

    /// Makes an entry.
    public init(_ name: FileName, inode: UInt64, kind: NodeAttributes.Kind) {
        self.name = name
        self.inode = inode
        self.kind = kind
    }
}
