import CShortfuseABI
import Glibc
import Synchronization
import SystemPackage

/// The maps and programs for the mount of another daemon: the programs keep the daemon's answers,
/// and reuse them as long as a policy allows.
///
/// Nothing is published or revoked here. The module invalidates what a request changes before the
/// daemon receives it, see "Attached mounts" in docs/architecture.md.
public final class AttachedCache: Sendable {
    /// How long an answer of the daemon is valid.
    public enum Policy: Sendable, Equatable {
        /// For the time-out that the daemon gave. Where FUSE has no time-out (names that do not
        /// exist, extended attributes, STATFS): for the shortest one that the daemon gave.
        case own
        /// For this time, unless a change passes through the mount.
        case ttl(milliseconds: Int)
        /// Until a change through the mount or a notification from the daemon.
        case exclusive
    }

    private let object: BPFObject
    private let policy: Policy
    private let pins: PinDirectory
    private let device = Mutex<CInt>(-1)

    /// Loads programs and maps, and pins the maps.
    /// - Parameters:
    ///   - policy: how long an answer of the daemon is valid.
    ///   - entries: the number of nodes, names and short replies that are kept, a power of two;
    ///     128, about 130 and about 230 bytes each.
    ///   - pinDirectory: on a BPF file system.
    public init(
        policy: Policy, entries: Int, pinDirectory: String
    ) throws(KernelCacheError) {
        guard (64...1 << 24).contains(entries), entries.nonzeroBitCount == 1 else {
            throw .invalidSlots(entries)
        }
        object = try BPFObject(
            config: sf_config(
                slot_bits: UInt32(entries.trailingZeroBitCount), data_sets: 1, file_max: 0,
                entry_valid: 0, attr_valid: 0, settle_ticks: 0, policy: policy.number,
                ttl_ns: policy.nanoseconds),
            names: UInt32(entries))
        self.policy = policy
        pins = try PinDirectory(making: pinDirectory)
        try object.pin(in: pinDirectory)
    }

    deinit { close() }

    /// Starts to answer for a mount.
    /// - Parameters:
    ///   - root: a descriptor of the mount's root, also with `O_PATH`. It may be closed afterwards.
    ///   - kernel: the running one.
    ///   - openFiles: the maximum number of closed files that the daemon keeps open, to be opened
    ///     again with the same handle without a request; 0 with `own`.
    public func attach(
        root: CInt, kernel: KernelFit, openFiles: UInt32
    ) throws(KernelCacheError) {
        let opened = try object.attach(
            root, as: SF_ATTACH_MOUNT, kernel: kernel,
            openNanoseconds: openFiles > 0 ? policy.openNanoseconds : 0, openFiles: openFiles)
        device.withLock { $0 = opened }
    }

    /// Detaches and removes the pins; the daemon continues.
    public func close() {
        device.withLock {
            if $0 >= 0 { Glibc.close($0) }
            $0 = -1
        }
        pins.remove()
    }
}

extension AttachedCache.Policy {
    fileprivate var number: UInt32 {
        switch self {
        case .own: SF_POLICY_OWN.rawValue
        case .ttl: SF_POLICY_TTL.rawValue
        case .exclusive: SF_POLICY_EXCLUSIVE.rawValue
        }
    }

    /// FUSE has no time-out for an open file.
    fileprivate var openNanoseconds: UInt64 {
        switch self {
        case .own: 0
        case .ttl: nanoseconds
        case .exclusive: .max
        }
    }

    fileprivate var nanoseconds: UInt64 {
        if case .ttl(let milliseconds) = self {
            UInt64(max(milliseconds, 0)) * 1_000_000
        } else {
            0
        }
    }
}
