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
    associatedtype ID: Hashable & Sendable

    /// The directory that is mounted.
    var root: ID { get }
    /// True: the mount is read-only, and `apply` is never called. By default false.
    var isReadOnly: Bool { get }

    /// The attributes of a node.
    func attributes(of node: ID) async throws(Errno) -> Answer<NodeAttributes>
    /// What `name` in `directory` is; nil: there is no such name.
    func find(_ name: FileName, in directory: ID) async throws(Errno) -> Answer<Found<ID>?>
    /// All names in `directory`, without `.` and `..`, in any order.
    func list(_ directory: ID) async throws(Errno) -> Answer<[Listed]>
    /// Up to `count` bytes of `file` from `offset` on. Fewer: the file ends there.
    func read(_ file: ID, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]>
    /// The target of a symbolic link, which never changes.
    func target(of link: ID) async throws(Errno) -> [UInt8]
    /// The value of an extended attribute; nil: there is none of this name.
    func extendedAttribute(
        _ name: String, of node: ID
    ) async throws(Errno) -> Answer<[UInt8]?>
    /// The names of all extended attributes.
    func extendedAttributeNames(of node: ID) async throws(Errno) -> Answer<[String]>
    /// Sizes and limits: statvfs(3).
    func statistics() async throws(Errno) -> statvfs

    /// Makes a change. When it returns, the change is visible to everybody who asks the store.
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
    public enum Kept: Sendable {
        /// It never changes.
        case forever
        /// Until a change through the mount concerns it, or the store tells of one by `ChangeSink`,
        /// or its lease ends.
        case untilTold
        /// It must be asked for each time.
        case no
    }

    public var value: Value
    public var kept: Kept

    public init(_ value: Value, kept: Kept) {
        self.value = value
        self.kept = kept
    }
}

/// A node with its attributes.
public struct Found<ID: Hashable & Sendable>: Sendable {
    public var id: ID
    public var attributes: NodeAttributes

    public init(_ id: ID, _ attributes: NodeAttributes) {
        self.id = id
        self.attributes = attributes
    }
}

extension Found: Codable where ID: Codable {}

/// An entry of a listing.
public struct Listed: Sendable, Codable {
    public var name: FileName
    public var inode: UInt64
    public var kind: NodeAttributes.Kind

    public init(_ name: FileName, inode: UInt64, kind: NodeAttributes.Kind) {
        self.name = name
        self.inode = inode
        self.kind = kind
    }
}
