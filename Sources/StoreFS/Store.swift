import FuseSession
import Glibc
import SystemPackage

/// What an author of a file system writes: what nodes there are, and how they change. `StoreMount`
/// does the rest.
///
/// A node is a file, a directory or a symbolic link, known by an `ID` of the store's choice: the same
/// node has the same one for as long as anybody knows it, whatever its names.
///
/// Operations run concurrently, and may take long: none has a thread of its own. Each throws the
/// `Errno` that the caller's system call fails with. The kernel has checked permissions by owner and
/// mode before it asks for a change.
public protocol Store: Sendable {
    /// What tells nodes apart: a number, a path, a key of a database. It is never used again for another
    /// node while the mount lasts.
    associatedtype ID: Hashable & Sendable

    /// The directory that is mounted. It always exists.
    var root: ID { get }
    /// True: the mount is read-only, and `apply` is never called. By default false.
    var isReadOnly: Bool { get }

    /// The attributes of a node.
    /// - Throws: `ESTALE` for a node that does not exist any more.
    func attributes(of node: ID) async throws(Errno) -> Answer<NodeAttributes>
    /// What `name` in `directory` is; nil: there is no such name.
    func find(_ name: FileName, in directory: ID) async throws(Errno) -> Answer<Found<ID>?>
    /// All names in `directory`, without `.` and `..`, in any order. By default it fails with `ENOSYS`.
    ///
    /// The kernel keeps a listing until the directory's `NodeAttributes.modified` is another one, or it is
    /// told to drop it; `Answer.kept` makes no difference.
    func list(_ directory: ID) async throws(Errno) -> Answer<[Listed]>
    /// Up to `count` bytes of `file` from `offset` on. Fewer: the file ends there; none: `offset` is at
    /// its end or behind it. `offset` and `count` are bytes, and not negative. By default it fails with
    /// `ENOSYS`.
    ///
    /// `Answer.kept` is for the maps. The kernel keeps pages of the file anyway until its
    /// `NodeAttributes.modified` or `NodeAttributes.size` is another one, or it is told to drop them.
    func read(_ file: ID, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]>
    /// The target of a symbolic link, which never changes: bytes without NUL, in no particular encoding.
    /// By default it fails with `EINVAL`.
    func target(of link: ID) async throws(Errno) -> [UInt8]
    /// The value of an extended attribute, at most 64 KiB; nil: there is none of this name. The name has
    /// its prefix, such as `user.`.
    ///
    /// By default it fails with `ENOSYS`: the kernel then answers `EOPNOTSUPP`, and asks no more.
    func extendedAttribute(
        _ name: String, of node: ID
    ) async throws(Errno) -> Answer<[UInt8]?>
    /// The names of all extended attributes, with their prefixes. By default it fails with `ENOSYS`, as
    /// `extendedAttribute`.
    func extendedAttributeNames(of node: ID) async throws(Errno) -> Answer<[String]>
    /// Sizes and limits: statvfs(3). By default there are no blocks, and names have up to 255 bytes. It
    /// is never kept.
    func statistics() async throws(Errno) -> statvfs

    /// Makes a change. When it returns, the change is visible to everybody who asks the store. By default
    /// it fails with `EROFS`.
    ///
    /// The store sets what changes with it: `NodeAttributes.changed` of each node, `modified` of a file
    /// that is written and of a directory whose names change, and `links`.
    /// - Returns: what was made, linked or changed, with its attributes afterwards; nil for a change
    ///   of names that makes nothing, and for WRITE and extended attributes.
    func apply(_ change: Change<ID>, by caller: Caller) async throws(Errno) -> Found<ID>?

    /// Before the first request: `changes` is where the store tells of changes that do not come by
    /// `apply`. A store that has none need not keep it.
    func begin(_ changes: ChangeSink<ID>)
    /// Takes back `times` of the times that `find`, or `apply` with a change that makes or links, has
    /// returned `node`. With none left nobody knows it but by its names, and one that has no name may
    /// go. Called under a lock, so it must wait for nobody.
    func forget(_ node: ID, times: Int)
}

/// What a read-only store does without.
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

/// An answer of a store, and for how long it may be given again without asking.
public struct Answer<Value: Sendable>: Sendable {
    /// For how long an answer may be given again. Less may be kept than this permits: memory is short, or
    /// something changed while the store was asked.
    public enum Kept: Sendable {
        /// It never changes, for as long as the mount lasts.
        case forever
        /// Until a change through the mount concerns it, or the store tells of one by `ChangeSink`,
        /// or its lease ends.
        case untilTold
        /// It must be asked for each time.
        case no
    }

    /// What was asked for.
    public var value: Value
    /// For how long it is right.
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
    /// As `Store.attributes` has them.
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
    /// As `NodeAttributes.kind`. Of a special file only the type bits count here.
    public var kind: NodeAttributes.Kind

    /// Makes an entry.
    public init(_ name: FileName, inode: UInt64, kind: NodeAttributes.Kind) {
        self.name = name
        self.inode = inode
        self.kind = kind
    }
}
