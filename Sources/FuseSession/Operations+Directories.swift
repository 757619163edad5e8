import CFuse3
import Glibc
import SystemPackage

func addDirectories(to operations: inout fuse_lowlevel_ops) {
    operations.opendir = { request, node, info in
        serve(request, .opendir) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let file = try fileSystem.openDirectory(
                context, node: node, flags: info.pointee.flags)
            file.store(in: info)
            if fuse_reply_open(request, info) != 0 {
                fileSystem.releaseDirectory(node: node, handle: file.handle)
            }
        }
    }
    operations.readdir = { request, node, size, offset, info in
        serve(request, .readdir) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let buffer = try SessionCore.buffer(size)
            var entries = DirectoryBuffer(buffer, isPlus: false)
            try fileSystem.readDirectory(
                context, node: node, handle: info.pointee.fh, offset: Int64(offset),
                into: &entries)
            reply(request, buffer, entries.count)
        }
    }
    operations.readdirplus = { request, node, size, offset, info in
        serve(request, .readdirplus) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let buffer = try SessionCore.buffer(size)
            var entries = DirectoryBuffer(buffer, isPlus: true)
            do throws(Errno) {
                try fileSystem.readDirectoryPlus(
                    context, node: node, handle: info.pointee.fh, offset: Int64(offset),
                    into: &entries)
            } catch {
                // What was appended before the error never reaches the kernel.
                entries.forEachNode { fileSystem.forget(node: $0, count: 1) }
                throw error
            }
            if reply(request, buffer, entries.count) != 0 {
                entries.forEachNode { fileSystem.forget(node: $0, count: 1) }
            }
        }
    }
    operations.releasedir = { request, node, info in
        serveEmpty(request, .releasedir) { (fileSystem, _) throws(Errno) in
            guard let info else { throw .invalidArgument }
            fileSystem.releaseDirectory(node: node, handle: info.pointee.fh)
        }
    }
    operations.fsyncdir = { request, node, dataOnly, info in
        serveEmpty(request, .fsyncdir) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            try fileSystem.syncDirectory(
                context, node: node, handle: info.pointee.fh, dataOnly: dataOnly != 0)
        }
    }
}
