import CFuse3
import Glibc
import SystemPackage

/// libfuse's table of operations over `FileSystem`. The closures capture nothing, as C requires;
/// the file system is in each request's userdata.
func makeOperations() -> fuse_lowlevel_ops {
    var operations = fuse_lowlevel_ops()
    addLife(to: &operations)
    addForget(to: &operations)
    addNodes(to: &operations)
    addNames(to: &operations)
    addFiles(to: &operations)
    addDirectories(to: &operations)
    addExtendedAttributes(to: &operations)
    addControl(to: &operations)
    addUnsupported(to: &operations)
    return operations
}

func addLife(to operations: inout fuse_lowlevel_ops) {
    operations.`init` = { userdata, info in
        SessionCore.with(userdata) { core in
            core.counters?.count(.initialize)
            guard let info else { return }
            var connection = Connection(info)
            connection.wanted.subtract([.readDirectoryPlus, .readDirectoryPlusAdaptive])
            core.fileSystem.initialize(&connection)
            if connection.wanted.contains(.parallelDirectoryOperations) {
                cfuse3_add_init_flags(Capabilities.parallelDirectoryOperations.rawValue)
            }
            core.initialized?(Agreement(connection))
        }
    }
    operations.destroy = { userdata in
        SessionCore.with(userdata) { core in
            core.counters?.count(.destroy)
            core.fileSystem.destroy()
        }
    }
}

func addForget(to operations: inout fuse_lowlevel_ops) {
    operations.forget = { request, node, count in
        guard let request else { return }
        SessionCore.with(fuse_req_userdata(request)) { core in
            core.counters?.count(.forget)
            core.fileSystem.forget(node: node, count: count)
        }
        fuse_reply_none(request)
    }
    operations.forget_multi = { request, count, nodes in
        guard let request else { return }
        SessionCore.with(fuse_req_userdata(request)) { core in
            core.counters?.count(.batchForget)
            for item in UnsafeMutableBufferPointer(start: nodes, count: nodes == nil ? 0 : count) {
                core.fileSystem.forget(node: item.ino, count: item.nlookup)
            }
        }
        fuse_reply_none(request)
    }
}

private func addNodes(to operations: inout fuse_lowlevel_ops) {
    operations.lookup = { request, parent, name in
        serveEntry(request, .lookup) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            return try fileSystem.lookup(context, parent: parent, name: name)
        }
    }
    operations.getattr = { request, node, info in
        serve(request, .getattr) { (fileSystem, context) throws(Errno) in
            var attributes = try fileSystem.attributes(
                context, of: node, handle: info?.pointee.fh)
            fuse_reply_attr(request, &attributes.status, attributes.timeout)
        }
    }
    operations.setattr = { request, node, wanted, mask, info in
        serve(request, .setattr) { (fileSystem, context) throws(Errno) in
            guard let wanted else { throw .invalidArgument }
            var attributes = try fileSystem.setAttributes(
                context, of: node, handle: info?.pointee.fh,
                to: AttributeChanges(wanted.pointee, mask: mask))
            fuse_reply_attr(request, &attributes.status, attributes.timeout)
        }
    }
    operations.access = { request, node, mask in
        serveEmpty(request, .access) { (fileSystem, context) throws(Errno) in
            try fileSystem.access(context, node: node, mask: mask)
        }
    }
    operations.readlink = { request, node in
        serve(request, .readlink) { (fileSystem, context) throws(Errno) in
            let buffer = try SessionCore.buffer(Int(PATH_MAX))
            let count = try fileSystem.readLink(context, node: node, into: buffer)
            reply(request, buffer, count)
        }
    }
    operations.statfs = { request, node in
        serve(request, .statfs) { (fileSystem, context) throws(Errno) in
            var statistics = try fileSystem.statistics(context, of: node)
            fuse_reply_statfs(request, &statistics)
        }
    }
}

/// Replies with the first `count` bytes of `buffer`; libfuse's return value says whether the reply
/// arrived.
@inline(__always)
@discardableResult
func reply(
    _ request: fuse_req_t?, _ buffer: UnsafeMutableRawBufferPointer, _ count: Int
) -> Int32 {
    fuse_reply_buf(
        request, buffer.baseAddress?.assumingMemoryBound(to: CChar.self),
        min(max(count, 0), buffer.count))
}

/// Operations that no file system here implements: listed so that they are also counted.
private func addUnsupported(to operations: inout fuse_lowlevel_ops) {
    operations.bmap = { request, _, _, _ in
        serve(request, .bmap) { (_, _) throws(Errno) in throw .noFunction }
    }
    operations.poll = { request, _, _, handle in
        if let handle { fuse_pollhandle_destroy(handle) }
        serve(request, .poll) { (_, _) throws(Errno) in throw .noFunction }
    }
}
