import Glibc
import SystemPackage

/// A FUSE file system: each operation returns what the kernel requested, or throws the `Errno` to
/// reply with. Operations run on several threads at once.
///
/// Names and paths are the kernel's NUL-terminated bytes in no particular encoding, valid during
/// the call. Operations that are not implemented return `ENOSYS`; the kernel then does without them
/// or fails the call (see fuse_lowlevel.h for each).
///
/// Parameters that several operations have:
/// - `context`: the user, group and process that made the system call.
/// - `node`: the nodeid of the file or directory that the request is about.
/// - `parent` and `name`: the nodeid of a directory, and a name in it.
/// - `handle`: what `open`, `create` or `openDirectory` returned for this open file.
public protocol FileSystem: AnyObject, Sendable {
    // MARK: Life

    /// INIT: the first request. `connection` has what the kernel offers, and takes what to use.
    func initialize(_ connection: inout Connection)
    /// The mount is in place and `device` is the `st_dev` that its files have.
    func mounted(device: dev_t)
    /// A request or a FORGET begins on the calling thread. Returns the argument of `requestEnds`.
    func requestBegins() -> Int
    /// The request has been replied to.
    func requestEnds(_ token: Int)
    /// DESTROY, or the end of the session.
    func destroy()

    // MARK: Nodes

    /// LOOKUP. Success increments the nlookup of the entry's node.
    func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry
    /// FORGET, one node of BATCH_FORGET, or an entry that did not reach the kernel: subtracts
    /// `count` from its nlookup.
    func forget(node: NodeID, count: UInt64)
    /// GETATTR.
    /// - Parameters:
    ///   - context: the caller of stat(2), or of a call that needs the attributes.
    ///   - node: the nodeid of the file, directory or symbolic link.
    ///   - handle: of a file that the caller has open, if the kernel sends one.
    func attributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes
    /// SETATTR. Returns the new attributes.
    func setAttributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?,
        to changes: AttributeChanges
    ) throws(Errno) -> Attributes
    /// ACCESS. Not sent with `default_permissions`.
    /// - Parameters:
    ///   - context: the user and group whose permissions are asked for.
    ///   - node: the nodeid of the file or directory that would be accessed.
    ///   - mask: one or more of `R_OK`, `W_OK` and `X_OK`.
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
    /// LINK: another name for `node`.
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
    /// - Parameters:
    ///   - context: the caller of rename(2).
    ///   - parent: the nodeid of the directory that has the old name.
    ///   - name: the old name.
    ///   - newParent: the nodeid of the directory that gets the new name; may be `parent`.
    ///   - newName: the new name, which may exist.
    ///   - flags: `RENAME_*` of renameat2(2); 0 for RENAME.
    func rename(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        newParent: NodeID, newName: UnsafePointer<CChar>, flags: UInt32
    ) throws(Errno)

    // MARK: Files

    /// OPEN.
    /// - Parameters:
    ///   - context: the caller of open(2).
    ///   - node: the file's nodeid.
    ///   - flags: `O_*`, without `O_CREAT`, `O_EXCL` and `O_NOCTTY`.
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
    /// - Parameters:
    ///   - context: the caller of write(2); for pages of a mapping nobody
    ///     (`RequestContext.isWriteback`).
    ///   - node: the file's nodeid.
    ///   - handle: of the open file; for pages of a mapping, of one of those that can write it.
    ///   - offset: bytes from the start of the file.
    ///   - appends: the file is currently open with `O_APPEND`, and this is not the write-back of a
    ///     page: `offset` is where the kernel assumes the end of the file.
    ///   - source: the data.
    func write(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int
    /// FLUSH: a close(2) of a file that may still be open through other descriptors.
    func flush(_ context: RequestContext, node: NodeID, handle: FileHandle) throws(Errno)
    /// RELEASE: the end of `handle`.
    func release(node: NodeID, handle: FileHandle)
    /// FSYNC.
    func sync(
        _ context: RequestContext, node: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno)
    /// FALLOCATE.
    /// - Parameters:
    ///   - context: the caller of fallocate(2).
    ///   - node: the file's nodeid.
    ///   - handle: of the file, open for writing.
    ///   - mode: `FALLOC_FL_*` of fallocate(2); 0: reserve space.
    ///   - offset: the start of the range, in bytes.
    ///   - length: of the range, in bytes.
    func allocate(
        _ context: RequestContext, node: NodeID, handle: FileHandle, mode: Int32,
        offset: Int64, length: Int64
    ) throws(Errno)
    /// LSEEK. Returns the offset found.
    /// - Parameters:
    ///   - context: the caller of lseek(2).
    ///   - node: the file's nodeid.
    ///   - handle: of the open file.
    ///   - offset: where the search begins, in bytes.
    ///   - whence: `SEEK_DATA` or `SEEK_HOLE`; the kernel handles the others itself.
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
    /// READDIR: appends entries to `entries` until one does not fit. No entries: the end.
    /// - Parameters:
    ///   - context: the caller of getdents(2).
    ///   - node: the directory's nodeid.
    ///   - handle: what `openDirectory` returned.
    ///   - offset: 0, or the `next` of the last entry that the caller has.
    ///   - entries: the reply, empty at first.
    func readDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno)
    /// READDIRPLUS: as `readDirectory`, but each entry except `.` and `..` is also a LOOKUP.
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
    /// - Parameters:
    ///   - context: the caller of setxattr(2).
    ///   - node: the nodeid of the file or directory.
    ///   - name: with its prefix, such as `user.`; NUL-terminated.
    ///   - value: any bytes, or none.
    ///   - flags: `XATTR_CREATE`, `XATTR_REPLACE`, or 0 for either.
    func setExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno)
    /// REMOVEXATTR.
    func removeExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno)

    // MARK: ioctl

    /// IOCTL, by a caller on an open file, or by the kernel for `FS_IOC_GETFLAGS` and similar ones;
    /// `ENOTTY` if the file system does not support it. Returns the number of bytes put into
    /// `output`.
    /// - Parameters:
    ///   - context: the caller of ioctl(2).
    ///   - node: the nodeid of the file or directory.
    ///   - command: the number, which includes the sizes of input and output: ioctl(2).
    ///   - input: what the argument points to, if `command` writes.
    ///   - output: room for what `command` reads; empty if it reads nothing.
    func control(
        _ context: RequestContext, node: NodeID, command: UInt32, input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
}
