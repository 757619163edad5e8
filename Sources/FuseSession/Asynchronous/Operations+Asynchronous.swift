import CFuse3
import Glibc
import Syscall
import SystemPackage

/// libfuse's table of operations over `AsynchronousFileSystem`.
func makeAsynchronousOperations() -> fuse_lowlevel_ops {
    var operations = fuse_lowlevel_ops()
    addLife(to: &operations)
    addForget(to: &operations)
    addAsynchronousNodes(to: &operations)
    addAsynchronousNames(to: &operations)
    addAsynchronousFiles(to: &operations)
    addAsynchronousExtendedAttributes(to: &operations)
    return operations
}

/// Counts a request and starts a task that answers it.
/// - Parameters:
///   - room: for GETXATTR and LISTXATTR, the size of the caller's buffer; otherwise nil.
///   - make: copies the content of the request.
private func start(
    _ request: fuse_req_t?, _ opcode: Opcode, room: Int? = nil,
    _ make: () throws(Errno) -> FileRequest
) {
    guard let request else { return }
    SessionCore.with(fuse_req_userdata(request)) { core in
        core.counters?.count(opcode)
        let caller = Caller(RequestContext(request))
        let pending = PendingRequest(request, caller: caller.pid)
        guard let fileSystem = core.asynchronous else { return pending.fail(.noFunction) }
        let content: FileRequest
        do throws(Errno) {
            content = try make()
        } catch {
            return pending.fail(error)
        }
        let begin = core.latency == nil ? 0 : Syscall.monotonicNanoseconds()
        guard core.tasks.enter() else { return pending.fail(.ioError) }
        let task = Task.immediate { [core] in
            do throws(Errno) {
                let reply = try await fileSystem.answer(content, from: caller)
                let arrived =
                    room.map { pending.succeed(reply, room: $0) } ?? pending.succeed(reply)
                // The kernel has not counted the lookup of a reply that it did not accept.
                if !arrived, let node = reply.granted { fileSystem.forget(node: node, count: 1) }
            } catch {
                pending.fail(error)
            }
            core.latency?.record(since: begin)
            core.tasks.leave()
        }
        pending.watch(task)
    }
}

/// - Throws: `EINVAL` for an invalid name: the kernel looks up "." and ".." only for NFS.
private func fileName(_ name: UnsafePointer<CChar>?) throws(Errno) -> FileName {
    guard let name, let fileName = FileName(name) else { throw .invalidArgument }
    // The kernel lets longer ones pass (FUSE_NAME_MAX).
    guard fileName.bytes.count <= NAME_MAX else { throw .fileNameTooLong }
    return fileName
}

private func addAsynchronousNodes(to operations: inout fuse_lowlevel_ops) {
    operations.lookup = { request, parent, name in
        start(request, .lookup) { () throws(Errno) in
            .lookup(parent: parent, try fileName(name))
        }
    }
    operations.getattr = { request, node, _ in
        start(request, .getattr) { .attributes(node) }
    }
    operations.setattr = { request, node, wanted, mask, _ in
        start(request, .setattr) { () throws(Errno) in
            guard let wanted else { throw .invalidArgument }
            return .setAttributes(node, AttributeChanges(wanted.pointee, mask: mask))
        }
    }
    operations.readlink = { request, node in
        start(request, .readlink) { .readLink(node) }
    }
    operations.statfs = { request, node in
        start(request, .statfs) { .statistics(node) }
    }
}

private func addAsynchronousNames(to operations: inout fuse_lowlevel_ops) {
    operations.mknod = { request, parent, name, mode, device in
        start(request, .mknod) { () throws(Errno) in
            .makeNode(parent: parent, try fileName(name), mode: mode, device: device)
        }
    }
    operations.mkdir = { request, parent, name, mode in
        start(request, .mkdir) { () throws(Errno) in
            .makeDirectory(parent: parent, try fileName(name), mode: mode)
        }
    }
    operations.symlink = { request, target, parent, name in
        start(request, .symlink) { () throws(Errno) in
            guard let target else { throw .invalidArgument }
            let bytes = UnsafeRawBufferPointer(start: target, count: strlen(target))
            return .makeSymlink(parent: parent, try fileName(name), target: Array(bytes))
        }
    }
    operations.link = { request, node, parent, name in
        start(request, .link) { () throws(Errno) in
            .makeLink(node, parent: parent, try fileName(name))
        }
    }
    operations.unlink = { request, parent, name in
        start(request, .unlink) { () throws(Errno) in
            .removeFile(parent: parent, try fileName(name))
        }
    }
    operations.rmdir = { request, parent, name in
        start(request, .rmdir) { () throws(Errno) in
            .removeDirectory(parent: parent, try fileName(name))
        }
    }
    operations.rename = { request, parent, name, newParent, newName, flags in
        start(request, flags == 0 ? .rename : .rename2) { () throws(Errno) in
            .rename(
                parent: parent, try fileName(name), newParent: newParent,
                newName: try fileName(newName), flags: flags)
        }
    }
    operations.create = { request, parent, name, mode, info in
        start(request, .create) { () throws(Errno) in
            guard let info else { throw .invalidArgument }
            return .create(
                parent: parent, try fileName(name), mode: mode, flags: info.pointee.flags)
        }
    }
}

private func addAsynchronousFiles(to operations: inout fuse_lowlevel_ops) {
    operations.open = { request, node, info in
        start(request, .open) { () throws(Errno) in
            guard let info else { throw .invalidArgument }
            return .open(node, flags: info.pointee.flags)
        }
    }
    operations.read = { request, node, size, offset, _ in
        start(request, .read) { .read(node, offset: Int64(offset), count: size) }
    }
    operations.write = { request, node, bytes, size, offset, info in
        start(request, .write) { () throws(Errno) in
            guard let info, let bytes else { throw .invalidArgument }
            // A page of a mapping keeps its offset, whatever the flags.
            let appends = info.pointee.flags & O_APPEND != 0 && info.pointee.writepage == 0
            return .write(
                node, offset: Int64(offset), appends: appends,
                Array(UnsafeRawBufferPointer(start: bytes, count: size)))
        }
    }
    // Nothing is open for a handle: RELEASE does nothing, but the kernel expects a reply.
    operations.release = { request, _, _ in
        serveEmpty(request, .release) { (_, _) throws(Errno) in }
    }
    operations.opendir = { request, node, _ in
        start(request, .opendir) { .openDirectory(node) }
    }
    operations.readdir = { request, node, size, offset, _ in
        start(request, .readdir) {
            .readDirectory(node, offset: Int64(offset), size: min(size, SessionCore.maxReply))
        }
    }
    operations.releasedir = { request, _, _ in
        serveEmpty(request, .releasedir) { (_, _) throws(Errno) in }
    }
}

private func addAsynchronousExtendedAttributes(to operations: inout fuse_lowlevel_ops) {
    operations.getxattr = { request, node, name, size in
        start(request, .getxattr, room: size) { () throws(Errno) in
            guard let name else { throw .invalidArgument }
            return .extendedAttribute(node, name: String(cString: name))
        }
    }
    operations.listxattr = { request, node, size in
        start(request, .listxattr, room: size) { .extendedAttributeNames(node) }
    }
    operations.setxattr = { request, node, name, value, size, flags in
        start(request, .setxattr) { () throws(Errno) in
            guard let name else { throw .invalidArgument }
            return .setExtendedAttribute(
                node, name: String(cString: name),
                Array(UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : size)),
                flags: flags)
        }
    }
    operations.removexattr = { request, node, name in
        start(request, .removexattr) { () throws(Errno) in
            guard let name else { throw .invalidArgument }
            return .removeExtendedAttribute(node, name: String(cString: name))
        }
    }
}
