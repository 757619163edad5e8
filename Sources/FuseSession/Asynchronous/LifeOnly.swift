import Glibc

/// The part of `FileSystem` that `Session` needs, for an asynchronous file system.
final class LifeOnly: FileSystem {
    private let fileSystem: any AsynchronousFileSystem

    init(_ fileSystem: any AsynchronousFileSystem) { self.fileSystem = fileSystem }

    func initialize(_ connection: inout Connection) { fileSystem.initialize(&connection) }

    func forget(node: NodeID, count: UInt64) { fileSystem.forget(node: node, count: count) }
}
