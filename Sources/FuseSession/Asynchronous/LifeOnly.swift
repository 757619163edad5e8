import Glibc

/// What `Session` asks of every file system, of an asynchronous one.
struct LifeOnly: FileSystem {
    let fileSystem: any AsynchronousFileSystem

    func initialize(_ connection: inout Connection) { fileSystem.initialize(&connection) }

    func forget(node: NodeID, count: UInt64) { fileSystem.forget(node: node, count: count) }
}
