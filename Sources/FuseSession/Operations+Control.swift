import CFuse3
import Glibc
import SystemPackage

func addControl(to operations: inout fuse_lowlevel_ops) {
    operations.ioctl = { request, node, command, _, _, _, input, inputSize, outputSize in
        serve(request, .ioctl) { (fileSystem, context) throws(Errno) in
            let buffer = try SessionCore.buffer(outputSize)
            let count = try fileSystem.control(
                context, node: node, command: UInt32(command),
                input: UnsafeRawBufferPointer(start: input, count: input == nil ? 0 : inputSize),
                into: buffer)
            fuse_reply_ioctl(request, 0, buffer.baseAddress, min(count, outputSize))
        }
    }
}
