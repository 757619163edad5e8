import CFuse3
import Glibc
import SystemPackage

func addExtendedAttributes(to operations: inout fuse_lowlevel_ops) {
    operations.getxattr = { request, node, name, size in
        serveSized(request, .getxattr, size) { (fileSystem, context, buffer) throws(Errno) in
            guard let name else { throw .invalidArgument }
            return try fileSystem.extendedAttribute(
                context, of: node, name: name, into: buffer)
        }
    }
    operations.listxattr = { request, node, size in
        serveSized(request, .listxattr, size) { (fileSystem, context, buffer) throws(Errno) in
            try fileSystem.extendedAttributeNames(context, of: node, into: buffer)
        }
    }
    operations.setxattr = { request, node, name, value, size, flags in
        serveEmpty(request, .setxattr) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            try fileSystem.setExtendedAttribute(
                context, of: node, name: name,
                to: UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : size),
                flags: flags)
        }
    }
    operations.removexattr = { request, node, name in
        serveEmpty(request, .removexattr) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            try fileSystem.removeExtendedAttribute(context, of: node, name: name)
        }
    }
}

/// A request for data of unknown size: with `size` 0 it requests only the size.
@inline(__always)
private func serveSized(
    _ request: fuse_req_t?, _ opcode: Opcode, _ size: Int,
    _ body: (
        any FileSystem, RequestContext, UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int
) {
    serve(request, opcode) { (fileSystem, context) throws(Errno) in
        if size == 0 {
            let empty = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            fuse_reply_xattr(request, try body(fileSystem, context, empty))
            return
        }
        let buffer = try SessionCore.buffer(size)
        let count = try body(fileSystem, context, buffer)
        guard count <= size else { throw .outOfRange }
        reply(request, buffer, count)
    }
}
