import Glibc
import SystemPackage

/// Operations that a file system does not implement return `ENOSYS`.
extension FileSystem {
    public func initialize(_ connection: inout Connection) {}
    public func mounted(device: dev_t) {}
    public func requestBegins() -> Int { 0 }
    public func requestEnds(_ token: Int) {}
    public func destroy() {}

    public func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry { throw .noFunction }

    public func forget(node: NodeID, count: UInt64) {}

    public func attributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes { throw .noFunction }

    public func setAttributes(
        _ context: RequestContext, of node: NodeID, handle: FileHandle?,
        to changes: AttributeChanges
    ) throws(Errno) -> Attributes { throw .noFunction }

    public func access(
        _ context: RequestContext, node: NodeID, mask: Int32
    ) throws(Errno) { throw .noFunction }

    public func readLink(
        _ context: RequestContext, node: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { throw .noFunction }

    public func statistics(
        _ context: RequestContext, of node: NodeID
    ) throws(Errno) -> statvfs { throw .noFunction }

    public func makeNode(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        device: dev_t
    ) throws(Errno) -> Entry { throw .noFunction }

    public func makeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t
    ) throws(Errno) -> Entry { throw .noFunction }

    public func makeSymlink(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        target: UnsafePointer<CChar>
    ) throws(Errno) -> Entry { throw .noFunction }

    public func makeLink(
        _ context: RequestContext, to node: NodeID, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry { throw .noFunction }

    public func removeFile(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) { throw .noFunction }

    public func removeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) { throw .noFunction }

    public func rename(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        newParent: NodeID, newName: UnsafePointer<CChar>, flags: UInt32
    ) throws(Errno) { throw .noFunction }

    public func open(
        _ context: RequestContext, node: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile { throw .noFunction }

    public func create(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        flags: Int32
    ) throws(Errno) -> (entry: Entry, file: OpenFile) { throw .noFunction }

    public func read(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> ReadResult { throw .noFunction }

    public func write(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int { throw .noFunction }

    public func flush(
        _ context: RequestContext, node: NodeID, handle: FileHandle
    ) throws(Errno) { throw .noFunction }

    public func release(node: NodeID, handle: FileHandle) {}

    public func sync(
        _ context: RequestContext, node: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno) { throw .noFunction }

    public func allocate(
        _ context: RequestContext, node: NodeID, handle: FileHandle, mode: Int32,
        offset: Int64, length: Int64
    ) throws(Errno) { throw .noFunction }

    public func seek(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64, whence: Int32
    ) throws(Errno) -> Int64 { throw .noFunction }

    public func copyRange(
        _ context: RequestContext, from source: FileRange, to target: FileRange, count: Int,
        flags: UInt32
    ) throws(Errno) -> Int { throw .noFunction }

    public func openDirectory(
        _ context: RequestContext, node: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile { OpenFile(handle: 0) }

    public func readDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) { throw .noFunction }

    public func readDirectoryPlus(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) { throw .noFunction }

    public func releaseDirectory(node: NodeID, handle: FileHandle) {}

    public func syncDirectory(
        _ context: RequestContext, node: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno) { throw .noFunction }

    public func extendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { throw .noFunction }

    public func extendedAttributeNames(
        _ context: RequestContext, of node: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { throw .noFunction }

    public func setExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno) { throw .noFunction }

    public func removeExtendedAttribute(
        _ context: RequestContext, of node: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) { throw .noFunction }

    public func control(
        _ context: RequestContext, node: NodeID, command: UInt32, input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { throw .noFunction }
}
