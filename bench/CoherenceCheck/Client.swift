import Glibc
import SystemPackage

/// What stat(2) tells that is checked. Stamps are nanoseconds since 1970.
struct Status {
    var inode: UInt64
    var links: UInt64
    var size: Int64
    var mode: UInt32
    var owner: UInt32
    var modified: Int64
    var changed: Int64

    init(_ status: stat) {
        inode = UInt64(status.st_ino)
        links = UInt64(status.st_nlink)
        size = Int64(status.st_size)
        mode = status.st_mode & 0o7777
        owner = status.st_uid
        modified = Self.nanoseconds(status.st_mtim)
        changed = Self.nanoseconds(status.st_ctim)
    }

    static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// A name in one of the directories of `Layout`.
struct Place {
    let directory: Int
    let name: UnsafePointer<CChar>
}

enum LinkJudgement {
    /// With the names: who sees a new count sees the new name.
    case withNames
    /// Against the changes alone. While one is under way, its count may show before its name does:
    /// the kernel's own names change last, on its own file systems, too.
    case apart
}

/// What not every file system can, or not in a way that could be judged.
enum Ability: String, CaseIterable {
    /// RENAME_EXCHANGE.
    case exchange
    /// Several names of a file, and counts of them.
    case links
    /// A name that is there all the while that another file is moved to it. A daemon that goes by paths has
    /// lost the old file for whoever looked it up a moment before.
    case replacing
    /// fstat(2) of a file at the moment at which its name goes.
    case holding
    /// link(2) of a file that another mount has just linked, too, when this one has removed a name of it.
    case counting
    /// Renaming. Where another mount renames, too, the kernel may find one file by both names, and takes
    /// that for two names of it (vfs_rename of fs/namei.c): it succeeds and asks nobody.
    case renaming
    /// O_DIRECT, or else reading and writing that goes past the page cache by itself.
    case direct
}

/// One worker's way to the file system under test. Each worker has its own; what they share is the
/// file system.
protocol Client: AnyObject {
    /// True if `status(of:)` names a file and its attributes at one moment. stat(2) does not: the
    /// kernel looks the name up, and then asks for the attributes.
    var looksUpAtOnce: Bool { get }
    /// True if attributes that come together are of one moment.
    var readsStatusAtOnce: Bool { get }
    /// True if an append shows as a whole. The kernel writes page by page, on its own file systems and
    /// to a FUSE daemon, and the size grows with each.
    var appendsAtOnce: Bool { get }
    /// How link counts are judged, and that linking a file fails only if it has no name.
    var links: LinkJudgement { get }

    /// The calls that it cannot are not made.
    var lacking: Set<Ability> { get }

    /// Gives back all it has.
    func close()

    // MARK: Names

    func status(of place: Place) throws(Errno) -> Status
    func exists(_ place: Place) throws(Errno)
    func statusOfDirectory(_ directory: Int) throws(Errno) -> Status
    /// Calls `body` with each name, without `.` and `..`.
    func list(_ directory: Int, _ body: (UnsafePointer<CChar>) -> Void) throws(Errno)
    /// Makes and opens a file, which must not exist.
    func create(_ place: Place) throws(Errno)
    func remove(_ place: Place) throws(Errno)
    func makeDirectory(_ place: Place) throws(Errno)
    func removeDirectory(_ place: Place) throws(Errno)
    func rename(_ from: Place, _ to: Place, exchanging: Bool) throws(Errno)

    // MARK: Files held without their names, numbered from 0

    var heldCount: Int { get }
    /// Opens what `place` names, for reading.
    func open(_ place: Place) throws(Errno)
    /// Returns the inode number of the file made or opened last, and holds it or lets it go. One
    /// that was made gets its number as its data. Apart, because it is not part of the call that is
    /// timed.
    func settle(holding: Bool) throws(Errno) -> UInt64
    func inode(held: Int) -> UInt64
    func status(held: Int) throws(Errno) -> Status
    func read(
        held: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    func link(held: Int, to place: Place) throws(Errno)
    func letGo(held: Int)

    // MARK: The files of `Layout.File`

    func status(of file: Layout.File) throws(Errno) -> Status
    func truncate(_ file: Layout.File, to size: Int64) throws(Errno)
    func append(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno)
    func changeMode(of file: Layout.File, to mode: UInt32) throws(Errno)
    func changeOwner(of file: Layout.File, to owner: UInt32) throws(Errno)
    func read(_ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int
    /// The same by a descriptor that is opened for it, for reading alone.
    func readAnew(
        _ file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    func write(_ file: Layout.File, _ bytes: UnsafeRawBufferPointer) throws(Errno)
    func extendedAttribute(
        of file: Layout.File, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    func setExtendedAttribute(
        of file: Layout.File, to value: UnsafeRawBufferPointer
    ) throws(Errno)
}
