import Synchronization

/// Counts events of the cache that no map shows. The memory is the caller's, so that another
/// process can read the counts in a shared file.
public struct CacheGauges: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// What is counted. The raw value is the position in memory: add new ones at the end, and never
    /// renumber.
    public enum Name: Int, CaseIterable, Sendable {
        /// Attributes that were replaced by another node's.
        case attrsEvictions = 0
        /// File data that was replaced by other data.
        case dataEvictions = 1
        /// Changes that others made in SOURCE, as far as events reported them.
        case sourceChanges = 2
        /// How often events were lost, and everything was dropped.
        case sourceOverflows = 3
        /// Cached entries that were compared with SOURCE, and those that differed.
        case verified = 4
        case differences = 5
    }

    /// Room for 16.
    public static let byteCount = 16 * 8

    /// - Parameter memory: `byteCount` bytes, 8-byte aligned, that outlive this value and its
    ///   copies. Counting continues from the existing values.
    public init(memory: UnsafeMutableRawPointer) {
        words = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    public subscript(name: Name) -> UInt64 {
        words[name.rawValue].load(ordering: .relaxed)
    }

    public func count(_ name: Name) {
        words[name.rawValue].wrappingAdd(1, ordering: .relaxed)
    }
}
