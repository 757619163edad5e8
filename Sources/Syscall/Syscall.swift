import Glibc
import SystemPackage

/// System calls as the daemon needs them: names as bytes, failures as thrown `Errno`, restarted
/// when a signal interrupts them. Sorted by topic in `Syscall+Topic.swift`. The manual page of each
/// call describes the function and lists its errors.
public enum Syscall {
    /// Runs `call` until it is not interrupted, and throws `errno` if it returns -1.
    @inlinable @inline(__always)
    static func retrying<R: SignedInteger>(_ call: () -> R) throws(Errno) -> R {
        while true {
            let result = call()
            if result != -1 { return result }
            let code = errno
            if code != EINTR { throw Errno(rawValue: code) }
        }
    }

    /// As `retrying`, for calls that return no value.
    @inlinable @inline(__always)
    static func check(_ call: () -> Int32) throws(Errno) {
        _ = try retrying(call)
    }
}
