import FuseSession
import Synchronization
import Syscall

/// Directories of which the kernel may not have applied a READDIRPLUS reply yet.
///
/// It keeps the names of such a reply from the epoch in which it applies it (`fuse_direntplus_link`),
/// unlike that of a LOOKUP, whose epoch is that of its request. So a reply that is under way while all
/// names are dropped brings old ones back.
final class ListingsWithNodes: Sendable {
    private struct Listing {
        var inProgress = 0
        /// CLOCK_MONOTONIC in nanoseconds.
        var ended: UInt64 = 0
    }

    private struct Listings {
        var byDirectory: [NodeID: Listing] = [:]
        var prunedAbove = ListingsWithNodes.few
    }

    /// Nanoseconds: more than a caller that has its reply can take to apply it.
    private static let applied: UInt64 = 2_000_000_000
    /// So many are not worth a pass over all of them.
    private static let few = 256

    private let listings = Mutex(Listings())

    func begin(_ directory: NodeID) {
        listings.withLock { $0.byDirectory[directory, default: Listing()].inProgress += 1 }
    }

    func end(_ directory: NodeID) {
        let now = Syscall.monotonicNanoseconds()
        listings.withLock { listings in
            listings.byDirectory[directory]?.inProgress -= 1
            listings.byDirectory[directory]?.ended = now
            guard listings.byDirectory.count > listings.prunedAbove else { return }
            listings.byDirectory = listings.byDirectory.filter { Self.isRecent($0.value, now) }
            // A pass for each doubling, however many are recent.
            listings.prunedAbove = max(Self.few, 2 * listings.byDirectory.count)
        }
    }

    var directories: [NodeID] {
        let now = Syscall.monotonicNanoseconds()
        return listings.withLock { listings in
            listings.byDirectory.filter { Self.isRecent($0.value, now) }.map(\.key)
        }
    }

    private static func isRecent(_ listing: Listing, _ now: UInt64) -> Bool {
        listing.inProgress > 0 || now &- listing.ended < applied
    }
}
