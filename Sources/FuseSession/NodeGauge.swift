import Synchronization

/// The number of nodes, in 8 bytes of the caller's that another process can read.
package struct NodeGauge: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.
    private let word: UnsafeMutablePointer<Atomic<Int64>>

    /// - Parameter memory: 8 bytes, aligned and zero, that outlive this value.
    package init(_ memory: UnsafeMutableRawPointer) {
        word = memory.assumingMemoryBound(to: Atomic<Int64>.self)
    }

    package func add(_ number: Int64) { word.pointee.wrappingAdd(number, ordering: .relaxed) }
}
