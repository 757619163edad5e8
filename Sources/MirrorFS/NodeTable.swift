import FuseSession
import StoreFS
import SystemPackage

/// All nodes that the kernel may know, and their descriptors.
public final class NodeTable: Sendable {
    let nodes: LocalNodes<Node>
    let descriptors = DescriptorPool()

    /// - Parameters:
    ///   - gauge: 8 bytes, zero, that outlive the table: always the number of nodes, for other
    ///     processes.
    ///   - known: always the set of nodes, for another process.
    public init(gauge: UnsafeMutableRawPointer? = nil, known: KnownNodes? = nil) {
        nodes = LocalNodes(gauge: gauge, known: known)
    }

    /// Counts lookups of `nodeid` that the kernel cache granted. For `KernelCache`, which calls it
    /// under one of its locks; ignores unknown nodeids.
    public func credit(nodeid: UInt64, lookups: UInt64) {
        nodes.credit(nodeid: nodeid, lookups: lookups)
    }

    /// The number of nodes in the table, including the root.
    public var count: Int { nodes.count }
}

extension LocalNodes where Node == LocalNode<MirrorFile> {
    /// Marks up to `wanted` nodes that were not used lately, and returns them: see `mark`.
    func idle(_ wanted: Int) -> [Node] {
        // The first round marks a node as idle unless it is used before the second.
        let first = first(wanted) { $0.mark() }
        return first + self.first(wanted - first.count) { $0.mark() }
    }
}
