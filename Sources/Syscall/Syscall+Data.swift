import CLinux
import Glibc
import SystemPackage

extension Syscall {
    /// pread(2): fills `buffer` from `offset` on until it is full or the file ends.
    /// - Returns: bytes read.
    @inlinable
    public static func read(
        _ fd: FileDescriptor, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        var done = 0
        while done < buffer.count {
            let part = try retrying {
                pread(fd.rawValue, base + done, buffer.count - done, off_t(offset) &+ done)
            }
            if part == 0 { break }
            done += part
        }
        return done
    }

    /// pread(2), called once.
    /// - Returns: bytes read, which may be fewer than requested before the end of the file.
    @inlinable
    public static func readOnce(
        _ fd: FileDescriptor, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try retrying { pread(fd.rawValue, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    /// pwrite(2): writes all of `buffer` at `offset`.
    /// - Returns: bytes written: fewer than requested only if an error occurred after the first
    ///   part.
    @inlinable
    public static func write(
        _ fd: FileDescriptor, at offset: Int64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try writeAll(buffer) { (start, count, done) in
            pwrite(fd.rawValue, start, count, off_t(offset) &+ done)
        }
    }

    /// write(2) of a message, which is written as a whole or not at all.
    @inlinable
    public static func writeMessage(
        _ fd: FileDescriptor, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        _ = try retrying { Glibc.write(fd.rawValue, bytes.baseAddress, bytes.count) }
    }

    /// pwritev2(2) with `RWF_APPEND`: writes all of `buffer` at the current end of the file, as
    /// write(2) does with `O_APPEND`.
    /// - Returns: as `write`.
    @inlinable
    public static func append(
        _ fd: FileDescriptor, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try writeAll(buffer) { (start, count, _) in linux_append(fd.rawValue, start, count) }
    }

    /// Calls `write` with the rest of `buffer` and the number of bytes written, until nothing is
    /// left.
    @inlinable @inline(__always)
    static func writeAll(
        _ buffer: UnsafeRawBufferPointer, _ write: (UnsafeRawPointer, Int, Int) -> Int
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        var done = 0
        while done < buffer.count {
            do {
                let part = try retrying { write(base + done, buffer.count - done, done) }
                if part == 0 { break }
                done += part
            } catch {
                if done == 0 { throw error }
                break
            }
        }
        return done
    }

    @inlinable
    public static func truncate(_ fd: FileDescriptor, size: Int64) throws(Errno) {
        try check { ftruncate(fd.rawValue, off_t(size)) }
    }

    @inlinable
    public static func allocate(
        _ fd: FileDescriptor, mode: Int32, offset: Int64, length: Int64
    ) throws(Errno) {
        try check { linux_fallocate(fd.rawValue, mode, off_t(offset), off_t(length)) }
    }

    /// memfd_create(2): a file of `size` zero bytes in memory, which uses only as much as is
    /// written.
    public static func makeMemoryFile(_ name: String, size: Int) throws(Errno) -> FileDescriptor {
        let fd = FileDescriptor(rawValue: try retrying { linux_memory_file(name) })
        do throws(Errno) {
            try truncate(fd, size: Int64(size))
        } catch {
            close(fd)
            throw error
        }
        return fd
    }

    /// Frees the memory or the blocks of a part of a file, which then reads as zeros.
    public static func punch(_ fd: FileDescriptor, at offset: Int64, length: Int64) throws(Errno) {
        try allocate(fd, mode: Int32(LINUX_FALLOC_PUNCH), offset: offset, length: length)
    }

    /// `SEEK_DATA` of lseek(2).
    public static let seekData = Int32(LINUX_SEEK_DATA)

    /// copy_file_range(2).
    /// - Returns: bytes copied.
    @inlinable
    public static func copyRange(
        from source: FileDescriptor, at sourceOffset: Int64,
        to target: FileDescriptor, at targetOffset: Int64, count: Int, flags: UInt32
    ) throws(Errno) -> Int {
        var sourceOffset = off_t(sourceOffset)
        var targetOffset = off_t(targetOffset)
        return try retrying {
            linux_copy_file_range(
                source.rawValue, &sourceOffset, target.rawValue, &targetOffset, count, flags)
        }
    }

    @inlinable
    public static func seek(
        _ fd: FileDescriptor, to offset: Int64, whence: Int32
    ) throws(Errno) -> Int64 {
        try retrying { Int64(lseek(fd.rawValue, off_t(offset), whence)) }
    }

    /// fsync(2), or fdatasync(2) where only the data matters.
    @inlinable
    public static func sync(_ fd: FileDescriptor, dataOnly: Bool) throws(Errno) {
        try check { dataOnly ? fdatasync(fd.rawValue) : fsync(fd.rawValue) }
    }
}
