import CLinux
import Glibc
import SystemPackage

/// By paths of /proc/self/fd, since the calls on descriptors reject `O_PATH` ones.
extension Syscall {
    /// getxattr(2).
    /// - Returns: bytes of the value; with an empty `buffer` its size only.
    @inlinable
    public static func extendedAttribute(
        of path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try retrying { getxattr(path, name, buffer.baseAddress, buffer.count) }
    }

    /// listxattr(2): NUL-terminated names.
    /// - Returns: bytes of the list; with an empty `buffer` its size only.
    @inlinable
    public static func extendedAttributeNames(
        of path: UnsafePointer<CChar>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try retrying {
            listxattr(
                path, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
    }

    /// setxattr(2).
    @inlinable
    public static func setExtendedAttribute(
        of path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno) {
        try check { setxattr(path, name, value.baseAddress, value.count, flags) }
    }

    /// removexattr(2).
    @inlinable
    public static func removeExtendedAttribute(
        of path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>
    ) throws(Errno) {
        try check { removexattr(path, name) }
    }
}
