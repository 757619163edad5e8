import FuseSession
import Glibc
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// Where files without a handle were found (overlayfs without `nfs_export`): a node of such a file
/// is reopened by its directory and its name, and must still be the same file.
final class Origins: Sendable {
    private struct Origin: Sendable {
        let directory: NodeID
        let name: [CChar]
    }

    private let known = Mutex<[NodeID: Origin]>([:])
    /// Deeper than a path can be: changes of names behind the mount may cause a cycle here.
    private static let deepest = 4096

    func note(_ node: NodeID, in directory: NodeID, _ name: UnsafePointer<CChar>) {
        known.withLock { known in
            // Usually it has not moved.
            if let old = known[node], old.directory == directory, strcmp(old.name, name) == 0 {
                return
            }
            known[node] = Origin(
                directory: directory,
                name: Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1)))
        }
    }

    func forget(_ node: NodeID) { known.withLock { $0[node] = nil } }

    /// False as long as all files have handles.
    var areKept: Bool { known.withLock { !$0.isEmpty } }

    func has(_ node: NodeID) -> Bool { known.withLock { $0[node] != nil } }

    /// Opens the directories on the path to `node`, the topmost first, so that `open` need not.
    /// - Throws: `ESTALE` if one no longer exists.
    func openWay(to node: NodeID, _ nodes: LocalNodes<Node>) throws(Errno) {
        let way = known.withLock { known in
            var way: [NodeID] = []
            var next = known[node]?.directory
            while let directory = next, way.count < Self.deepest {
                way.append(directory)
                next = known[directory]?.directory
            }
            return way
        }
        guard way.count < Self.deepest else { throw .staleNFSFileHandle }
        for id in way.reversed() {
            guard let directory = nodes.node(id) else { throw .staleNFSFileHandle }
            try directory.use(wayIsOpen: true)
        }
    }

    /// - Throws: `ESTALE` if another file is there, or none.
    func open(_ node: Identified, _ nodes: LocalNodes<Node>) throws(Errno) -> FileDescriptor {
        guard let origin = known.withLock({ $0[node.id] }),
            let directory = nodes.node(origin.directory), directory.isOpen
        else { throw .staleNFSFileHandle }
        let fd: FileDescriptor
        do throws(Errno) {
            fd = try Syscall.open(
                at: directory.fd, origin.name, flags: Flag.path | O_NOFOLLOW)
        } catch {
            guard error == .noSuchFileOrDirectory || error == .notDirectory else { throw error }
            throw .staleNFSFileHandle
        }
        guard let status = try? Syscall.status(fd), Identity(status) == node.identity else {
            Syscall.close(fd)
            throw .staleNFSFileHandle
        }
        return fd
    }
}
