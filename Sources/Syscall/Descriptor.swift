import SystemPackage

/// Owns a file descriptor: closes it with the last reference.
public final class Descriptor: Sendable {
    public let fd: FileDescriptor

    /// Takes ownership of `fd`.
    public init(owning fd: FileDescriptor) {
        self.fd = fd
    }

    deinit {
        Syscall.close(fd)
    }
}
