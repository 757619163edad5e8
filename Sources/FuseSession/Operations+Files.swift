import CFuse3
import Glibc
import SystemPackage

func addFiles(to operations: inout fuse_lowlevel_ops) {
    operations.open = { request, node, info in
        serve(request, .open) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let file = try fileSystem.open(context, node: node, flags: info.pointee.flags)
            file.store(in: info)
            if fuse_reply_open(request, info) != 0 {
                fileSystem.release(node: node, handle: file.handle)
            }
        }
    }
    operations.read = { request, node, size, offset, info in
        serve(request, .read) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let buffer = try SessionCore.buffer(size)
            let result = try fileSystem.read(
                context, node: node, handle: info.pointee.fh, offset: Int64(offset),
                into: buffer)
            switch result {
            case .bytes(let count):
                reply(request, buffer, count)
            case .file(let fd, let offset):
                var vector = cfuse3_descriptor_bufvec(fd.rawValue, off_t(offset), size)
                // Without FUSE_BUF_SPLICE_MOVE: SOURCE keeps its pages.
                fuse_reply_data(request, &vector, fuse_buf_copy_flags(rawValue: 0))
            }
        }
    }
    operations.write_buf = { request, node, vector, offset, info in
        serve(request, .write) { (fileSystem, context) throws(Errno) in
            guard let info, let vector else { throw .invalidArgument }
            // The current flags: fcntl(2) may have changed O_APPEND since OPEN. A page of a mapping
            // keeps its offset, whatever the flags.
            let appends = info.pointee.flags & O_APPEND != 0 && info.pointee.writepage == 0
            var context = context
            context.isWriteback = info.pointee.writepage != 0
            let count = try fileSystem.write(
                context, node: node, handle: info.pointee.fh, offset: Int64(offset),
                appends: appends, from: WriteSource(vector))
            fuse_reply_write(request, count)
        }
    }
    operations.flush = { request, node, info in
        serveEmpty(request, .flush) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            try fileSystem.flush(context, node: node, handle: info.pointee.fh)
        }
    }
    operations.release = { request, node, info in
        serveEmpty(request, .release) { (fileSystem, _) throws(Errno) in
            guard let info else { throw .invalidArgument }
            fileSystem.release(node: node, handle: info.pointee.fh)
        }
    }
    operations.fsync = { request, node, dataOnly, info in
        serveEmpty(request, .fsync) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            try fileSystem.sync(
                context, node: node, handle: info.pointee.fh, dataOnly: dataOnly != 0)
        }
    }
    operations.fallocate = { request, node, mode, offset, length, info in
        serveEmpty(request, .fallocate) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            try fileSystem.allocate(
                context, node: node, handle: info.pointee.fh, mode: mode,
                offset: Int64(offset), length: Int64(length))
        }
    }
    operations.lseek = { request, node, offset, whence, info in
        serve(request, .lseek) { (fileSystem, context) throws(Errno) in
            guard let info else { throw .invalidArgument }
            let result = try fileSystem.seek(
                context, node: node, handle: info.pointee.fh, offset: Int64(offset),
                whence: whence)
            fuse_reply_lseek(request, off_t(result))
        }
    }
    operations.copy_file_range = {
        request, source, sourceOffset, sourceInfo, target, targetOffset, targetInfo, count, flags
        in
        serve(request, .copyFileRange) { (fileSystem, context) throws(Errno) in
            guard let sourceInfo, let targetInfo else { throw .invalidArgument }
            let copied = try fileSystem.copyRange(
                context,
                from: FileRange(
                    node: source, handle: sourceInfo.pointee.fh, offset: Int64(sourceOffset)),
                to: FileRange(
                    node: target, handle: targetInfo.pointee.fh, offset: Int64(targetOffset)),
                count: count, flags: UInt32(bitPattern: flags))
            fuse_reply_write(request, copied)
        }
    }
}
