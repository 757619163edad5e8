import Glibc
import SystemPackage

/// A FUSE file system, free of FUSE's plumbing: each operation returns what the kernel asked for or
/// throws the `Errno` to answer with. Operations run on several threads at once.
///
/// Names and paths are the kernel's NUL-terminated bytes in no particular encoding, valid during
/// the call. What is left out answers `ENOSYS`, by which the kernel does without the operation or
/// fails it (see fuse_lowlevel.h for each).
public protocol FileSystem: Sendable {
    // MARK: Life

    /// INIT: the first request. `connection` tells what the kernel can do and takes what to use.
    func initialize(_ connection: inout Connection)
    /// The mount is in place and `device` is the `st_dev` that its files have.
    func mounted(device: dev_t)
    /// A request begins on the calling thread, or a FORGET. Returns what `requestEnds` gets.
    func requestBegins() -> Int
    /// The request has been replied to.
    func requestEnds(_ token: Int)
    /// DESTROY, or the end of the session.
    func destroy()

    // MARK: Nodes

    /// LOOKUP. Success raises the nlookup of the entry's node by one.
    func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry
    /// FORGET, one node of BATCH_FORGET, or an entry that did not reach the kernel: takes `count`
    /// from its nlookup.
    func forget(node: NodeID, count: UInt64)
    /// GETATTR.
    /// - Parameter handle: of a file that the caller has open, if the kernel names one.
    func attributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes
    /// SETATTR. Returns the attributes afterwards.
    func setAttributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?,
        to changes: AttributeChanges
    ) throws(Errno) -> Attributes
    /// ACCESS.
    /// - Parameter mask: `R_OK | W_OK | X_OK`.
    func access(_ context: RequestContext, node: NodeID, mask: Int32) throws(Errno)
    /// READLINK. Returns the bytes of the target put into `buffer`, without NUL.
    func readLink(
        _ context: RequestContext, node: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    /// STATFS.
    func statistics(_ context: RequestContext, of node: NodeID) throws(Errno) -> statvfs

    // MARK: Names

    /// MKNOD.
    func makeNode(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        device: dev_t
    ) throws(Errno) -> Entry
    /// MKDIR.
    func makeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t
    ) throws(Errno) -> Entry
    /// SYMLINK.
    func makeSymlink(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        target: UnsafePointer<CChar>
    ) throws(Errno) -> Entry
    /// LINK: a further name for `node`.
    func makeLink(
        _ context: RequestContext, to node: NodeID, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry
    /// UNLINK.
    func removeFile(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno)
    /// RMDIR.
    func removeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno)
    /// RENAME and RENAME2.
    /// - Parameter flags: `RENAME_*` of renameat2(2).
    func rename(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        newParent: NodeID, newName: UnsafePointer<CChar>, flags: UInt32
    ) throws(Errno)

    // MARK: Files

    /// OPEN.
    /// - Parameter flags: `O_*`, without `O_CREAT`, `O_EXCL` and `O_NOCTTY`.
    func open(
        _ context: RequestContext, node: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile
    /// CREATE: MKNOD and OPEN in one.
    func create(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        flags: Int32
    ) throws(Errno) -> (entry: Entry, file: OpenFile)
    /// READ of up to `buffer.count` bytes. Fewer mean the end of the file.
    func read(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> ReadResult
    /// WRITE. Returns the bytes written.
    /// - Parameter appends: the file is open with `O_APPEND` now, and this is not a page on its way
    ///   back: `offset` is where the kernel takes the end of the file to be.
    func write(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int
    /// FLUSH: one close(2) of a file that may stay open elsewhere.
    func flush(_ context: RequestContext, node: NodeID, handle: FileHandle) throws(Errno)
    /// RELEASE: the end of `handle`.
    func release(node: NodeID, handle: FileHandle)
    /// FSYNC.
    func sync(
        _ context: RequestContext, node: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno)
    /// FALLOCATE.
    /// - Parameter mode: `FALLOC_FL_*` of fallocate(2).
    func allocate(
        _ context: RequestContext, node: NodeID, handle: FileHandle, mode: Int32,
        offset: Int64, length: Int64
    ) throws(Errno)
    /// LSEEK.
    /// - Parameter whence: `SEEK_DATA` or `SEEK_HOLE`; the rest is the kernel's own.
    func seek(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64, whence: Int32
    ) throws(Errno) -> Int64
    /// COPY_FILE_RANGE. Returns the bytes copied.
    func copyRange(
        _ context: RequestContext, from source: FileRange, to target: FileRange, count: Int,
        flags: UInt32
    ) throws(Errno) -> Int

    // MARK: Directories

    /// OPENDIR.
    func openDirectory(
        _ context: RequestContext, node: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile
    /// READDIR: appends entries to `entries` until one does not fit. None: the end.
    /// - Parameter offset: 0, or the `next` of the last entry that the caller has.
    func readDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno)
    /// READDIRPLUS: as `readDirectory`, each entry also a LOOKUP, except `.` and `..`.
    func readDirectoryPlus(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno)
    /// RELEASEDIR: the end of `handle`.
    func releaseDirectory(node: NodeID, handle: FileHandle)
    /// FSYNCDIR.
    func syncDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno)

    // MARK: Extended attributes

    /// GETXATTR. Returns the bytes of the value, in `buffer` unless that is empty.
    func extendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    /// LISTXATTR. Returns the bytes of the NUL-terminated names, in `buffer` unless that is empty.
    func extendedAttributeNames(
        _ context: RequestContext, of node: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
    /// SETXATTR.
    /// - Parameter flags: `XATTR_CREATE` or `XATTR_REPLACE`.
    func setExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno)
    /// REMOVEXATTR.
    func removeExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno)

    // MARK: ioctl

    /// IOCTL, of an open file or of the kernel's own for `FS_IOC_GETFLAGS` and its like; `ENOTTY`
    /// for what the file system does not know. Returns the bytes put into `output`.
    /// - Parameters:
    ///   - command: the number, which says how much goes in and out: ioctl(2).
    ///   - input: what the argument points to, if `command` writes.
    func control(
        _ context: RequestContext, node: NodeID, command: UInt32, input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
}
