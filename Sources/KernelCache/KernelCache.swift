import CShortfuseABI
import Glibc
import Logging
import Synchronization
import SystemPackage

/// The BPF programs that answer for a mount, the maps from which they answer, and the hook that
/// runs them.
///
/// Publishing and revoking go through `Coherence`, which holds the locks that make them exact. All
/// functions are safe to call from any thread, and each call is atomic for the programs.
public final class KernelCache: @unchecked Sendable {
    // Safe to share: descriptors and pointers are fixed after init; slots are guarded by their own
    // sequence lock, the rest by atomics and a mutex.

    public struct Options: Sendable {
        /// The number of attribute slots, a power of two. Each takes 128 bytes from mount on. With
        /// fewer slots than hot files, files replace each other in the maps.
        public var slots = 1 << 16
        /// The number of names, about 120 bytes each, plus a sixteenth as many longer than 32
        /// bytes. The number of short replies is the same, about 230 bytes each.
        public var names = 1 << 16
        /// Bytes for file data, reserved from mount on; 0: none is kept.
        public var dataBytes = 64 << 20
        /// The maximum size of files whose data is kept. Larger: fewer requests for large files,
        /// which then evict many small ones.
        public var fileMax = 1 << 20
        /// Seconds for which the kernel may keep names and attributes that programs return, if they
        /// were published for that.
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

    /// Receives the number of LOOKUPs of a node that the kernel answered, when another node takes
    /// its slot. Called under a slot's lock: it may only add to the node's nlookup.
    public typealias Ledger = @Sendable (_ nodeid: UInt64, _ lookups: UInt64) -> Void

    let object: BPFObject
    let ledger: Ledger
    let slots: UnsafeMutablePointer<sf_attr_slot>
    let slotBits: UInt32
    /// The map `data`: `dataSets` sets of SF_WAYS blocks.
    let blocks: UnsafeMutablePointer<sf_block>
    let dataSets: UInt32
    /// The maximum size of files whose data is kept, and whose OPEN for reading is answered in the
    /// kernel.
    public let fileMax: Int
    /// Versions and generations, each used once.
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
    /// - Parameters:
    ///   - options: the sizes of the maps, and how long the kernel may keep answers.
    ///   - logger: receives the error if the maps have to be given up.
    ///   - onAbandon: called with the reason then.
    ///   - ledger: adds to a node's nlookup what the kernel granted.
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
            // A map has at least one set; if `dataBytes` is too small it stays empty.
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

    /// Changes when everything is dropped. What was read under a lock taken in one epoch must not
    /// be published in the next.
    var epoch: UInt64 { epochs.load(ordering: .sequentiallyConsistent) }

    /// False for what was published before everything was dropped.
    func isValid(version: UInt64) -> Bool {
        version >= validFrom.pointee.load(ordering: .sequentiallyConsistent)
    }

    /// No request that begins after this returns is answered from what was published before.
    ///
    /// First the epoch, then the number: a thread that gets a valid number sees the new epoch.
    func dropEverything() {
        dropping.withLock { _ in
            epochs.wrappingAdd(1, ordering: .sequentiallyConsistent)
            validFrom.pointee.store(freshNumber(), ordering: .sequentiallyConsistent)
        }
    }

    /// The maps answer nothing from this time on, even if this process is stopped then.
    /// - Parameter end: CLOCK_MONOTONIC in nanoseconds; a later time than before extends the lease.
    public func setLease(until end: UInt64) {
        lease.pointee.store(end, ordering: .sequentiallyConsistent)
    }

    /// Prevents publishing of what is being read from the source.
    func voidReaders() { epochs.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// Makes the hook run our programs for the requests of this connection.
    ///
    /// - Parameters:
    ///   - fuseFD: the open /dev/fuse of the mounted session.
    ///   - kernel: the running one.
    public func attach(fuseFD: CInt, kernel: KernelFit) throws(KernelCacheError) {
        let device = try object.attach(fuseFD, as: SF_ATTACH_DEVICE, kernel: kernel)
        hook.withLock { $0 = device }
    }

    /// True while requests are answered in the kernel.
    public var isAttached: Bool { hook.withLock { $0 >= 0 } }

    /// Detaches: no request that begins after this returns is answered from the maps. The
    /// connection continues.
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

    /// Gives up acceleration, because the maps can no longer be kept exact.
    func abandon(_ reason: String) {
        guard isAttached else { return }
        logger.error("acceleration is off from here on: \(reason)")
        detach()
        onAbandon(reason)
    }
}
