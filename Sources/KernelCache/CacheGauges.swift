import Synchronization

/// What happens to the cache and shows in no map: counts in memory of the caller's, so that another
/// process can read them in a shared file.
public struct CacheGauges: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// What is counted. The raw value is the place in memory: a new one takes the next, and none
    /// moves.
    public enum Name: Int, CaseIterable, Sendable {
        /// Attributes that gave way to another node's.
        case attrsEvictions = 0
        /// File data that gave way to other data.
        case dataEvictions = 1
        /// Changes that others made in SOURCE, as far as they were told.
        case sourceChanges = 2
        /// How often it was not told what they were, and everything was dropped.
        case sourceOverflows = 3
        /// Cached entries that were compared with SOURCE, and those that differed.
        case verified = 4
        case differences = 5
    }

    /// Room for 16.
    public static let byteCount = 16 * 8

    /// - Parameter memory: `byteCount` bytes, 8-byte aligned, that outlive this value and its
    ///   copies. Counting goes on from what is there.
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
