import Glibc

/// The part of `FileSystem` that `Session` needs, for an asynchronous file system.
struct LifeOnly: FileSystem {
    let fileSystem: any AsynchronousFileSystem

    func initialize(_ connection: inout Connection) { fileSystem.initialize(&connection) }

    func forget(node: NodeID, count: UInt64) { fileSystem.forget(node: node, count: count) }
}
