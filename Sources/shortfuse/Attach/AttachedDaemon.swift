import Glibc
import KernelCache
import Logging
import MountRegistry
import Syscall
import SystemPackage

/// The process that holds an attachment: from the first file in /run/shortfuse to the last. With its
/// end, whatever the reason, nothing is answered any more.
struct AttachedDaemon {
    let mountpoint: Path
    let policy: AttachPolicy
    let entries: Int
    let openFiles: UInt32
    private let log = Logger(label: "shortfuse")

    init(mountpoint: Path, policy: AttachPolicy, entries: Int, openFiles: UInt32) {
        self.mountpoint = mountpoint
        self.policy = policy
        self.entries = entries
        self.openFiles = openFiles
    }

    /// - Parameter line: to the waiting parent; nil in the foreground.
    func run(_ line: Line?) throws(Failure) {
        let target = try AttachTarget(mountpoint)
        let kernel: KernelFit
        do throws(KernelCacheError) {
            kernel = try KernelModule.load()
        } catch {
            throw Failure("\(target.mountpoint): \(error)")
        }
        let end = try EndOfAttachment(target)
        let runtime = RuntimeDirectory(mountpoint: target.mountpoint)
        var state = MountState(
            source: Path(target.type), mountpoint: target.mountpoint, pins: runtime.pins,
            options: [])
        state.device = target.device
        state.attached = AttachedState(policy: policy.text, type: target.type)
        // Whoever held it before may have been killed.
        try runtime.clearAttached()
        try runtime.claim(state)
        defer { runtime.release(log) }
        let cache = try attach(target, kernel, pins: runtime.pins)
        defer { cache.close() }
        state.capabilities = try LeastPrivilege.limit(to: LeastPrivilege.ofAttachment, log: log)
        state.accelerated = true
        state.reason = nil
        try runtime.write(state)
        if line != nil {
            setsid()
            try Daemon.detachFromTerminal(log: runtime.logPath)
        }
        let announcement =
            "\(target.mountpoint): attached (\(target.type), policy \(policy.text)): the kernel "
            + "answers what it has seen\(TriedKernels.hint)\(hint(target))"
        if let line {
            _ = line.send(.ready(announcement))
            line.close()
        } else {
            write(line: announcement, to: STDOUT_FILENO)
        }
        log.info("the end: \(end.wait())")
    }

    private func hint(_ target: AttachTarget) -> String {
        policy.policy == .own && target.isArchive
            ? "; what never changes can be attached with --policy exclusive, which answers more"
            : ""
    }

    private func attach(
        _ target: AttachTarget, _ kernel: KernelFit, pins: String
    ) throws(Failure) -> AttachedCache {
        do {
            let cache = try AttachedCache(
                policy: policy.policy, entries: entries, pinDirectory: pins)
            // O_PATH: root itself may not enter what a user has mounted.
            let root = try Syscall.open(target.mountpoint.cString, flags: Syscall.openPath)
            // Or the mount would be in use.
            defer { Syscall.close(root) }
            try cache.attach(root: root.rawValue, kernel: kernel, openFiles: openFiles)
            return cache
        } catch KernelCacheError.attachFailed(.improperLink) {
            throw Failure(
                "\(target.mountpoint): its files may be open by FUSE passthrough, so that changes do not "
                    + "pass by; mount it without")
        } catch KernelCacheError.attachFailed(.notSupportedOnSocket) {
            throw Failure(
                "\(target.mountpoint): it has a writeback cache, so that changes do not pass by; "
                    + "mount it without")
        } catch {
            throw Failure("\(target.mountpoint): \(error)")
        }
    }
}
