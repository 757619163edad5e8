import CFuse3
import Glibc
import SystemPackage

func addNames(to operations: inout fuse_lowlevel_ops) {
    operations.mknod = { request, parent, name, mode, device in
        serveEntry(request, .mknod) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            return try fileSystem.makeNode(
                context, parent: parent, name: name, mode: mode, device: device)
        }
    }
    operations.mkdir = { request, parent, name, mode in
        serveEntry(request, .mkdir) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            return try fileSystem.makeDirectory(context, parent: parent, name: name, mode: mode)
        }
    }
    operations.symlink = { request, target, parent, name in
        serveEntry(request, .symlink) { (fileSystem, context) throws(Errno) in
            guard let name, let target else { throw .invalidArgument }
            return try fileSystem.makeSymlink(
                context, parent: parent, name: name, target: target)
        }
    }
    operations.link = { request, node, parent, name in
        serveEntry(request, .link) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            return try fileSystem.makeLink(context, to: node, parent: parent, name: name)
        }
    }
    operations.unlink = { request, parent, name in
        serveEmpty(request, .unlink) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            try fileSystem.removeFile(context, parent: parent, name: name)
        }
    }
    operations.rmdir = { request, parent, name in
        serveEmpty(request, .rmdir) { (fileSystem, context) throws(Errno) in
            guard let name else { throw .invalidArgument }
            try fileSystem.removeDirectory(context, parent: parent, name: name)
        }
    }
    operations.rename = { request, parent, name, newParent, newName, flags in
        // The kernel sends RENAME2 exactly when there are flags.
        serveEmpty(request, flags == 0 ? .rename : .rename2) {
            (fileSystem, context) throws(Errno) in
            guard let name, let newName else { throw .invalidArgument }
            try fileSystem.rename(
                context, parent: parent, name: name, newParent: newParent, newName: newName,
                flags: flags)
        }
    }
    operations.create = { request, parent, name, mode, info in
        serve(request, .create) { (fileSystem, context) throws(Errno) in
            guard let name, let info else { throw .invalidArgument }
            let (entry, file) = try fileSystem.create(
                context, parent: parent, name: name, mode: mode, flags: info.pointee.flags)
            var parameters = entry.parameters
            file.store(in: info)
            if fuse_reply_create(request, &parameters, info) != 0 {
                // Interrupted: see serveEntry.
                fileSystem.release(node: entry.nodeID, handle: file.handle)
                fileSystem.forget(node: entry.nodeID, count: 1)
            }
        }
    }
}
