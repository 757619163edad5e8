import Glibc
import SystemPackage

/// "/proc/self/fd/N": opens the file of an `O_PATH` descriptor, or passes it to calls that take a
/// path (open(2), under O_PATH). If N is itself a symlink, that is not followed.
///
/// An absolute path, because a descriptor of /proc/self/fd would refer to the old process after a
/// fork.
public struct DescriptorPath {
    private var bytes: InlineArray<32, UInt8>

    public init(_ fd: FileDescriptor) {
        bytes = InlineArray(repeating: 0)
        var length = 0
        for byte in "/proc/self/fd/".utf8 {
            bytes[length] = byte
            length += 1
        }
        let number = UInt32(truncatingIfNeeded: max(fd.rawValue, 0))
        var divisor: UInt32 = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes[length] = 48 + UInt8(truncatingIfNeeded: number / divisor % 10)
            length += 1
            divisor /= 10
        }
    }

    /// Calls `body` with the path as a C string.
    public func withPointer<R>(
        _ body: (UnsafePointer<CChar>) throws(Errno) -> R
    ) throws(Errno) -> R {
        try withUnsafePointer(to: bytes) { (pointer) throws(Errno) -> R in
            try body(UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
        }
    }
}
