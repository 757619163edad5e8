import FuseSession
import Glibc
import Synchronization
import Syscall
import SystemPackage

/// The nodes that the kernel may know, one bit each, in memory that another process can read when
/// this one has been killed: see `Guardian` of the command.
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

    /// Nil if there is no memory for it.
    public init?() {
        let size = Self.capacity / 8
        let pages = Self.capacity >> Self.pageBits
        guard let fd = try? Syscall.makeMemoryFile("shortfuse-nodes", size: size) else {
            return nil
        }
        file = Descriptor(owning: fd)
        guard
            let bits = Self.map(fd.rawValue, size),
            let counts = Self.map(-1, pages * MemoryLayout<Int32>.stride)
        else { return nil }
        words = bits.bindMemory(to: Atomic<UInt64>.self, capacity: size / 8)
        self.counts = counts.bindMemory(to: Atomic<Int32>.self, capacity: pages)
    }

    deinit {
        munmap(words, Self.capacity / 8)
        munmap(counts, (Self.capacity >> Self.pageBits) * MemoryLayout<Int32>.stride)
    }

    private static func map(_ fd: CInt, _ size: Int) -> UnsafeMutableRawPointer? {
        let flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, flags, fd, 0)
        return memory == MAP_FAILED ? nil : memory
    }

    func insert(_ node: NodeID) {
        guard node < Self.capacity else { return }
        let id = Int(node)
        counts[id >> Self.pageBits].wrappingAdd(1, ordering: .relaxed)
        words[id >> 6].bitwiseOr(1 << UInt64(id & 63), ordering: .relaxed)
    }

    func remove(_ node: NodeID) {
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

    /// Makes the kernel drop the attributes of all nodes in `file`, the root's first: without them
    /// no path can be resolved in the mount.
    /// - Returns: false if the kernel no longer has the mount.
    public static func dropAttributes(of file: FileDescriptor, by notifier: Notifier) -> Bool {
        guard notifier.dropAttributes(of: rootNodeID) else { return false }
        forEach(in: file) { _ = notifier.dropAttributes(of: $0) }
        return true
    }

    /// Calls `body` with each node in `file`, another process's `KnownNodes`, in order.
    public static func forEach(in file: FileDescriptor, _ body: (NodeID) -> Void) {
        var position: Int64 = 0
        let words = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 8)
        defer { words.deallocate() }
        while let next = try? Syscall.seek(file, to: position, whence: Syscall.seekData) {
            let start = next / Int64(pageSize) * Int64(pageSize)
            let count = (try? Syscall.read(file, at: start, into: words)) ?? 0
            for index in 0..<(count / 8) {
                var word = words.load(fromByteOffset: index * 8, as: UInt64.self)
                while word != 0 {
                    body(NodeID(start) * 8 + NodeID(index * 64 + word.trailingZeroBitCount))
                    word &= word - 1
                }
            }
            position = start + Int64(pageSize)
        }
    }
}
