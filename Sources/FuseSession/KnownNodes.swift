import Glibc
import Synchronization
import Syscall
import SystemPackage

/// The nodes that the kernel may know, one bit each, in memory that another process can read when
/// this one has been killed: see `Guardian`.
///
/// nodeids are never reused, so the memory of forgotten ones is freed.
public final class KnownNodes: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.

    /// A memory file; it has pages only where bits are set.
    public let file: Descriptor
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    /// Bits set, by page.
    private let counts: UnsafeMutablePointer<Atomic<Int32>>

    /// 2^34 nodeids: enough for ten thousand per second for 19 days.
    private static let capacity = 1 << 34
    private static let pageBits = 15
    private static let pageSize = 1 << pageBits / 8

    /// - Throws: if there is no memory for it.
    public init() throws(SessionError) {
        do throws(Errno) {
            (file, words, counts) = try Self.memory()
        } catch {
            throw SessionError(doing: "note what the kernel keeps", "\(error)")
        }
    }

    private static func memory() throws(Errno) -> (
        Descriptor, UnsafeMutablePointer<Atomic<UInt64>>, UnsafeMutablePointer<Atomic<Int32>>
    ) {
        let size = capacity / 8
        let pages = capacity >> pageBits
        let file = Descriptor(owning: try Syscall.makeMemoryFile("shortfuse-nodes", size: size))
        let bits = try map(file.fd.rawValue, size)
        do throws(Errno) {
            let counts = try map(-1, pages * MemoryLayout<Int32>.stride)
            return (
                file, bits.bindMemory(to: Atomic<UInt64>.self, capacity: size / 8),
                counts.bindMemory(to: Atomic<Int32>.self, capacity: pages)
            )
        } catch {
            munmap(bits, size)
            throw error
        }
    }

    deinit {
        munmap(words, Self.capacity / 8)
        munmap(counts, (Self.capacity >> Self.pageBits) * MemoryLayout<Int32>.stride)
    }

    private static func map(
        _ fd: CInt, _ size: Int
    ) throws(Errno) -> UnsafeMutableRawPointer {
        let flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, flags, fd, 0)
        guard let memory, memory != MAP_FAILED else { throw Errno(rawValue: errno) }
        return memory
    }

    /// The kernel may know `node` from now on.
    public func insert(_ node: NodeID) {
        guard node < Self.capacity else { return }
        let id = Int(node)
        counts[id >> Self.pageBits].wrappingAdd(1, ordering: .relaxed)
        words[id >> 6].bitwiseOr(1 << UInt64(id & 63), ordering: .relaxed)
    }

    /// The kernel has forgotten `node`.
    public func remove(_ node: NodeID) {
        guard node < Self.capacity else { return }
        let id = Int(node)
        words[id >> 6].bitwiseAnd(~(1 << UInt64(id & 63)), ordering: .relaxed)
        let page = id >> Self.pageBits
        // The last one of a page whose nodeids have all been assigned: none will follow.
        if counts[page].wrappingSubtract(1, ordering: .relaxed).newValue == 0,
            counts[page + 1].load(ordering: .relaxed) != 0
        {
            try? Syscall.punch(
                file.fd, at: Int64(page * Self.pageSize), length: Int64(Self.pageSize))
        }
    }
}
