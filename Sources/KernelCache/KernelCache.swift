import CShortfuseABI
import Glibc
import Logging
import Synchronization
import SystemPackage

/// The kernel's share of a mount: BPF programs that answer, the maps they answer from, and the hook
/// that asks them.
///
/// Publishing and revoking go through `Coherence`, which holds the locks that make them exact. What
/// is here is safe to call from any thread, and each call is atomic towards the programs.
public final class KernelCache: @unchecked Sendable {
    // Safe to share: descriptors and pointers are fixed after init; slots are guarded by their own
    // sequence lock, the rest by atomics and a mutex.

    public struct Options: Sendable {
        /// Attribute slots, a power of two. Each costs 128 bytes from mount on. With fewer slots
        /// than hot files, files take turns in the maps.
        public var slots = 1 << 16
        /// Names kept, about 120 bytes each, besides a sixteenth as many longer than 32 bytes. As
        /// many short replies are kept, about 230 bytes each.
        public var names = 1 << 16
        /// Bytes of file data, taken from mount on; 0: none is kept.
        public var dataBytes = 64 << 20
        /// Bytes up to which a file's data is kept. Larger: fewer requests for large files, which
        /// then evict many small ones.
        public var fileMax = 1 << 20
        /// Seconds for which the kernel may keep the names and attributes that it is answered; for
        /// whatever is published so that it may.
        public var keptSeconds: UInt32 = 0
        /// As `NativeCaches.Options.settleTicks`.
        public var settleTicks: UInt32 = 0
        /// Where the maps are pinned; nil: nowhere.
        public var pinDirectory: String?
        /// Where evictions are counted; nil: nowhere.
        public var gauges: CacheGauges?

        public init(
            slots: Int = 1 << 16, names: Int = 1 << 16, dataBytes: Int = 64 << 20,
            fileMax: Int = 1 << 20, keptSeconds: UInt32 = 0, settleTicks: UInt32 = 0,
            pinDirectory: String? = nil, gauges: CacheGauges? = nil
        ) {
            self.slots = slots
            self.names = names
            self.dataBytes = dataBytes
            self.fileMax = fileMax
            self.keptSeconds = keptSeconds
            self.settleTicks = settleTicks
            self.pinDirectory = pinDirectory
            self.gauges = gauges
        }
    }

    /// Told how many LOOKUPs of a node the kernel answered, when the node loses its slot to another
    /// one. Called under a slot's lock: it may only add to the node's nlookup.
    public typealias Ledger = @Sendable (_ nodeid: UInt64, _ lookups: UInt64) -> Void

    let object: BPFObject
    let ledger: Ledger
    let slots: UnsafeMutablePointer<sf_attr_slot>
    let slotBits: UInt32
    /// The map `data`: `dataSets` sets of SF_WAYS blocks.
    let blocks: UnsafeMutablePointer<sf_block>
    let dataSets: UInt32
    /// Bytes up to which a file's data is kept, and its opening for reading answered in the kernel.
    public let fileMax: Int
    /// Versions and generations, each given out once.
    private let numbers = Atomic<UInt64>(0)
    /// The words of the programs' `struct sf_validity`, in a page shared with them.
    private let validity: UnsafeMutablePointer<Atomic<UInt64>>
    private var validFrom: UnsafeMutablePointer<Atomic<UInt64>> { validity }
    private var lease: UnsafeMutablePointer<Atomic<UInt64>> { validity + 1 }
    /// Raised before `validFrom`.
    private let epochs = Atomic<UInt64>(0)
    private let dropping = Mutex(())
    let gauges: CacheGauges?
    private let logger: Logger
    private let onAbandon: @Sendable (_ reason: String) -> Void
    /// Set once, by `init`.
    private var pins: PinDirectory?
    private let hook = Mutex<CInt>(-1)

    /// Loads programs and maps; nothing is answered before `attach`.
    ///
    /// - Parameter onAbandon: told why, should the maps ever have to be given up.
    public init(
        options: Options, logger: Logger,
        onAbandon: @escaping @Sendable (_ reason: String) -> Void = { _ in },
        ledger: @escaping Ledger
    ) throws(KernelCacheError) {
        guard (64...1 << 24).contains(options.slots),
            options.slots.nonzeroBitCount == 1,
            let names = UInt32(exactly: options.names)
        else { throw .invalidSlots(options.slots) }
        self.logger = logger
        self.onAbandon = onAbandon
        self.ledger = ledger
        let setSize = MemoryLayout<sf_block>.stride * Int(SF_WAYS.rawValue)
        guard options.dataBytes >= 0, options.dataBytes <= 1 << 40, options.fileMax >= 0,
            // A map has at least one set, which then stays empty.
            let sets = UInt32(exactly: options.dataBytes / setSize)
        else { throw .invalidDataSize(options.dataBytes) }
        slotBits = UInt32(options.slots.trailingZeroBitCount)
        dataSets = sets
        fileMax = sets > 0 ? options.fileMax : -1
        gauges = options.gauges
        object = try BPFObject(
            config: sf_config(
                slot_bits: slotBits, data_sets: max(sets, 1),
                file_max: UInt64(max(options.fileMax, 0)), entry_valid: options.keptSeconds,
                attr_valid: options.keptSeconds, settle_ticks: options.settleTicks,
                policy: SF_POLICY_MIRROR.rawValue, ttl_ns: 0),
            names: max(names, 64))
        slots = try Self.map(
            "attrs", object.maps.attrs, of: sf_attr_slot.self, count: options.slots)
        blocks = try Self.map(
            "data", object.maps.data, of: sf_block.self,
            count: Int(max(sets, 1)) * Int(SF_WAYS.rawValue))
        validity = try Self.map(
            ".bss", object.maps.variables, of: Atomic<UInt64>.self, count: Self.validityWords)

        if let path = options.pinDirectory {
            pins = try PinDirectory(making: path)
            try object.pin(in: path)
        }
    }

    deinit {
        close()
        munmap(slots, (1 << Int(slotBits)) * MemoryLayout<sf_attr_slot>.stride)
        munmap(
            blocks,
            Int(max(dataSets, 1)) * Int(SF_WAYS.rawValue) * MemoryLayout<sf_block>.stride)
        munmap(validity, Self.validityWords * MemoryLayout<Atomic<UInt64>>.stride)
    }

    private static let validityWords =
        MemoryLayout<sf_validity>.size / MemoryLayout<UInt64>.size

    /// The elements of an array, shared with the programs.
    private static func map<Element: ~Copyable>(
        _ name: String, _ fd: CInt, of type: Element.Type, count: Int
    ) throws(KernelCacheError) -> UnsafeMutablePointer<Element> {
        let bytes = count * MemoryLayout<Element>.stride
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        guard let memory, memory != MAP_FAILED else {
            throw .mapFailed(map: name, Errno(rawValue: errno))
        }
        return memory.bindMemory(to: type, capacity: count)
    }

    /// A version never used before, to follow `version`.
    func freshVersion(after version: UInt64) -> UInt64 { freshNumber() }

    /// A version or generation never used before, higher than all before.
    func freshNumber() -> UInt64 {
        numbers.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
    }

    // MARK: Everything at once

    /// Changes when everything is dropped. Who took a lock in one epoch must not publish in the next
    /// what it has read.
    var epoch: UInt64 { epochs.load(ordering: .sequentiallyConsistent) }

    /// False for what was published before everything was dropped.
    func isValid(version: UInt64) -> Bool {
        version >= validFrom.pointee.load(ordering: .sequentiallyConsistent)
    }

    /// No request that begins after this returns is answered from what was published before.
    ///
    /// First the epoch, then the number: who is given a number that counts as new sees the new epoch.
    func dropEverything() {
        dropping.withLock { _ in
            epochs.wrappingAdd(1, ordering: .sequentiallyConsistent)
            validFrom.pointee.store(freshNumber(), ordering: .sequentiallyConsistent)
        }
    }

    /// The maps answer nothing from this time on, also if this process is stopped then.
    /// - Parameter end: CLOCK_MONOTONIC in nanoseconds; later than before: the lease was renewed.
    public func setLease(until end: UInt64) {
        lease.pointee.store(end, ordering: .sequentiallyConsistent)
    }

    /// Who reads the source at the moment publishes nothing of it.
    func voidReaders() { epochs.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// Has the hook ask our programs for the requests of this connection.
    ///
    /// - Parameters:
    ///   - fuseFD: the session's open /dev/fuse, mounted.
    ///   - kernel: the one that runs.
    public func attach(fuseFD: CInt, kernel: KernelFit) throws(KernelCacheError) {
        let device = try object.attach(fuseFD, as: SF_ATTACH_DEVICE, kernel: kernel)
        hook.withLock { $0 = device }
    }

    /// True while requests are answered in the kernel.
    public var isAttached: Bool { hook.withLock { $0 >= 0 } }

    /// Detaches: no request that begins after it returns is answered from the maps. The connection
    /// goes on.
    public func detach() {
        closeHook { _ = sf_ioctl_detach($0) }
    }

    /// Detaches, aborts the connection if it was attached, and removes the pins.
    public func close() {
        closeHook { _ in }
        pins?.remove()
    }

    private func closeHook(_ before: (CInt) -> Void) {
        hook.withLock { device in
            if device >= 0 {
                before(device)
                Glibc.close(device)
            }
            device = -1
        }
    }

    /// The maps can no longer be kept exact: give up speed, not truth.
    func abandon(_ reason: String) {
        guard isAttached else { return }
        logger.error("acceleration is off from here on: \(reason)")
        detach()
        onAbandon(reason)
    }
}
