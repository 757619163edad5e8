import CFuse3
import Glibc
import Syscall
import SystemPackage

/// The data of a WRITE, in memory or still in a pipe. Valid during the call.
public struct WriteSource: ~Copyable {
    private enum Storage {
        case memory(UnsafeRawBufferPointer)
        case vector(UnsafeMutablePointer<fuse_bufvec>)
    }

    private let storage: Storage

    public init(_ bytes: UnsafeRawBufferPointer) {
        storage = .memory(bytes)
    }

    init(_ vector: UnsafeMutablePointer<fuse_bufvec>) {
        var size = 0
        if let memory = cfuse3_memory(vector, &size) {
            storage = .memory(UnsafeRawBufferPointer(start: memory, count: size))
        } else {
            storage = .vector(vector)
        }
    }

    /// Bytes to write.
    public var count: Int {
        switch storage {
        case .memory(let bytes): bytes.count
        case .vector(let vector): fuse_buf_size(vector)
        }
    }

    /// Writes the data to a file. Call it only once: a pipe is empty afterwards.
    /// - Parameters:
    ///   - fd: open for writing, without `O_APPEND`.
    ///   - offset: bytes from the start of the file.
    ///   - appends: writes at the end of the file instead of at `offset`.
    /// - Returns: bytes written.
    public func write(
        to fd: FileDescriptor, at offset: Int64, appends: Bool = false
    ) throws(Errno) -> Int {
        switch storage {
        case .memory(let bytes):
            return appends
                ? try Syscall.append(fd, from: bytes)
                : try Syscall.write(fd, at: offset, from: bytes)
        case .vector(let vector):
            let size = fuse_buf_size(vector)
            if appends {
                // splice(2) accepts an offset or a descriptor with O_APPEND, but cannot append for
                // one call.
                let buffer = try SessionCore.buffer(size)
                var target = fuse_bufvec()
                target.count = 1
                target.buf.size = size
                target.buf.mem = buffer.baseAddress
                let count = try copy(vector, to: &target)
                return try Syscall.append(
                    fd, from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            var target = cfuse3_descriptor_bufvec(fd.rawValue, off_t(offset), size)
            return try copy(vector, to: &target)
        }
    }

    private func copy(
        _ vector: UnsafeMutablePointer<fuse_bufvec>, to target: inout fuse_bufvec
    ) throws(Errno) -> Int {
        let count = fuse_buf_copy(&target, vector, fuse_buf_copy_flags(rawValue: 0))
        guard count >= 0 else { throw Errno(rawValue: Int32(truncatingIfNeeded: -count)) }
        return count
    }
}
