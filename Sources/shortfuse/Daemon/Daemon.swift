import FuseSession
import Glibc
import KernelCache
import Logging
import MirrorFS
import MountRegistry
import Syscall
import SystemPackage

/// A mount, from the first file in /run/shortfuse to the last.
struct Daemon {
    let plan: MountPlan
    let options: MountOptions
    let accelerate: Mount.Accelerate
    let cacheEntries: Int
    let threads: Int
    let log = Logger(label: "shortfuse")

    /// Mounts, serves until the end, and leaves nothing behind.
    ///
    /// - Parameter herald: told once the mount answers.
    func run(herald: Herald) throws(Failure) {
        Self.holdSignals()
        Syscall.liftInheritedLimits()
        let runtime = RuntimeDirectory(mountpoint: plan.mountpoint)
        var state = MountState(
            source: plan.source, mountpoint: plan.mountpoint, pins: runtime.pins,
            options: options.given)
        try runtime.claim(state)
        defer { runtime.release(log) }
        if herald.isInBackground {
            try Self.detachFromTerminal(log: runtime.logPath)
        }
        // The last that needs more than is kept: a module is loaded, and the state of another daemon
        // was looked at.
        let kernel = reasonNotToTry == nil ? Self.kernel() : nil
        state.capabilities = try limitPrivileges()

        let (serving, reason) = try assemble(
            runtime, counters: try CounterFile(path: runtime.requestsPath), on: kernel)
        defer { serving.end() }
        state.accelerated = reason == nil
        state.reason = reason
        state.kernelCacheReason = serving.kernelCacheReason
        do throws(Errno) {
            state.device = try Syscall.device(of: plan.mountpoint.cString)
        } catch {
            throw Failure("\(plan.mountpoint): \(error); somebody unmounted it; try again")
        }
        try runtime.write(state)
        try serve(serving, herald: herald, announcement: announcement(reason))
    }

    /// Why acceleration is not even tried.
    private var reasonNotToTry: String? {
        if OrdinaryUser.isCurrent { return OrdinaryUser.limits }
        return accelerate == .off ? "--accelerate off" : nil
    }

    /// The one that runs, with the module loaded.
    private static func kernel() -> Result<KernelFit, KernelCacheError> {
        Result { () throws(KernelCacheError) in try KernelModule.load() }
    }

    private func limitPrivileges() throws(Failure) -> [String] {
        // They have none, mostly; and with no_new_privs fusermount3 could not unmount.
        if OrdinaryUser.isCurrent { return (try? Syscall.effectiveCapabilities().names) ?? [] }
        return try LeastPrivilege.limit(to: LeastPrivilege.ofMount, log: log)
    }

    /// In one line: accelerated, or why not.
    private func announcement(_ reason: String?) -> String {
        guard let reason else {
            return "\(plan.mountpoint): accelerated: the kernel answers what it has seen"
                + TriedKernels.hint
        }
        let hint = reasonNotToTry == nil ? "; `shortfuse doctor` tells more" : ""
        return "\(plan.mountpoint): not accelerated: \(reason)\(hint)"
    }

    private func serve(
        _ serving: ServingMount, herald: Herald, announcement: String
    ) throws(Failure) {
        try herald.reportMounted(
            at: plan.mountpoint, announcement: announcement,
            answered: { log.info("\(announcement)") },
            lost: { serving.session.exit() })
        defer { herald.finish() }
        do {
            let signal = try serving.session.run()
            log.info("the end: \(signal.map { "signal \($0)" } ?? "unmounted")")
        } catch {
            throw Failure("\(plan.mountpoint): \(error)")
        }
        herald.finish()
        if !herald.hasReported {
            throw Failure("\(plan.mountpoint): ended before the mount answered; try again")
        }
    }

    // MARK: Parts

    /// - Parameter kernel: nil if acceleration is not tried.
    /// - Returns: what serves, and why it is not accelerated.
    private func assemble(
        _ runtime: RuntimeDirectory, counters: CounterFile,
        on kernel: Result<KernelFit, KernelCacheError>?
    ) throws(Failure) -> (ServingMount, reason: String?) {
        do {
            guard let kernel else {
                return (try ServingMount(self, counters: counters), reasonNotToTry)
            }
            do {
                let serving = try ServingMount(
                    self, counters: counters, on: try kernel.get(), acceleratedAt: runtime.pins,
                    onAbandon: { recordLoss(reason: $0) })
                return (serving, nil)
            } catch let error
                where error is KernelCacheError || error is SourceWatcher.Unwatchable
            {
                guard accelerate == .auto else {
                    throw Failure(
                        "\(plan.mountpoint): --accelerate require: \(error); "
                            + "`shortfuse doctor` tells more")
                }
                return (try ServingMount(self, counters: counters), "\(error)")
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure("\(plan.mountpoint): \(error)")
        }
    }

    /// Acceleration ended before the mount: `status` is to say so.
    private func recordLoss(reason: String) {
        record {
            $0.accelerated = false
            $0.reason = reason
        }
    }

    /// What kernel and daemon agreed on, for `status`.
    func record(_ connection: ConnectionState) {
        record { $0.connection = connection }
    }

    private func record(_ change: (inout MountState) -> Void) {
        RuntimeDirectory(mountpoint: plan.mountpoint).record(log, change)
    }

    /// From here on only the session's loop takes the signals that end the daemon: there is one way
    /// out, and it cleans up.
    private static func holdSignals() {
        Session.holdEndingSignals()
        // A parent that went away shows as an error of write(2).
        signal(SIGPIPE, SIG_IGN)
    }

    static func detachFromTerminal(log path: Path) throws(Failure) {
        let file = open(path.cString, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw Failure("\(path): \(RuntimeDirectory.describe(Errno.last))")
        }
        dup2(file, STDOUT_FILENO)
        dup2(file, STDERR_FILENO)
        close(file)
        // Keeps no other file system busy.
        chdir("/")
    }
}
