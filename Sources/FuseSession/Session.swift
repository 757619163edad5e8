import CFuse3
import Glibc
import Logging
import Syscall
import SystemPackage

/// A FUSE connection that serves one file system.
///
/// Life: `init`, `mount` (or `serve(channel:)`), `run`, `unmount`. All of libfuse's state ends with
/// the object.
public final class Session: @unchecked Sendable {
    // Safe to share: libfuse's session is made for several threads; the rest is constant or locked.
    let handle: OpaquePointer
    let core: SessionCore
    let control = LoopControl()
    private let options: Options
    private let log: Logger
    /// Milliseconds for which the end of the session waits for tasks. Longer: slower tasks can
    /// still finish, but the daemon may take longer to end.
    private static let patience = 5_000
    /// Where it is mounted, as the kernel lists it. Set by `mount`, before there are other threads.
    private var place: (path: [UInt8], device: dev_t)?

    /// Texts for mount(8) are bytes, as paths are: they need not be UTF-8.
    public struct Options: Sendable {
        /// What mount(8) shows as the source.
        public var sourceName = Array("fuse".utf8)
        /// What mount(8) shows as the type: `fuse.` and this.
        public var subtype: [UInt8]?
        /// Further `-o` options, mount(8)'s and libfuse's, each `name` or `name=value`.
        public var mountOptions = [Array("default_permissions".utf8)]
        /// The maximum number of requests in progress: each has a thread. Further requests wait.
        public var maxThreads = 4096
        /// Idle threads that are kept. More: a burst of requests is served sooner.
        public var idleThreads = 10
        /// The nice(2) value of the threads that serve, if the process has permission and was not
        /// started with a value of its own. At 0 a request waits for its turn among all programs that
        /// run, and its caller with it. Lower: sooner, at the cost of those programs.
        public var niceness: Int32 = -10
        /// One /dev/fuse descriptor per thread: less contention with many busy cores.
        public var clonesDescriptor = false
        /// Called at INIT, before its reply, on a thread that serves requests.
        public var initialized: (@Sendable (Agreement) -> Void)?
        /// Called once, as soon as the connection is known to have ended (unmounted, aborted), on a
        /// thread that served requests; others may still be working.
        public var ended: (@Sendable () -> Void)?

        public init() {}
    }

    /// - Parameters:
    ///   - fileSystem: answers the requests, each on the thread that received it.
    ///   - options: how the file system is mounted, and the threads that serve it.
    ///   - counters: counts what reaches `fileSystem`; nil for none.
    ///   - latency: records the time of each request from its dispatch until its reply is written;
    ///     nil for no timing.
    ///   - log: receives warnings, and libfuse's messages. libfuse has one log for the process: that
    ///     of the newest session.
    /// - Throws: `SessionError` with libfuse's message: unknown options, no memory.
    public convenience init(
        _ fileSystem: any FileSystem, options: Options = Options(),
        counters: RequestCounters? = nil, latency: LatencyBuckets? = nil,
        log: Logger = Logger(label: "fuse")
    ) throws(SessionError) {
        let core = SessionCore(
            fileSystem: fileSystem, counters: counters, latency: latency,
            initialized: options.initialized, ended: options.ended)
        try self.init(core, makeOperations(), options: options, log: log)
    }

    /// The same for an asynchronous file system. Two threads for each processor receive requests, and at
    /// most `Options.maxThreads`; the number of requests in progress does not depend on it, and
    /// `Options.idleThreads` has no effect.
    public convenience init(
        _ fileSystem: any AsynchronousFileSystem, options: Options = Options(),
        counters: RequestCounters? = nil, latency: LatencyBuckets? = nil,
        log: Logger = Logger(label: "fuse")
    ) throws(SessionError) {
        let core = SessionCore(
            fileSystem: LifeOnly(fileSystem), asynchronous: fileSystem,
            counters: counters, latency: latency, initialized: options.initialized,
            ended: options.ended)
        var options = options
        // They never wait, so more of them only take turns. libfuse starts one whenever all are busy, and
        // ends those above the number of idle ones: a thousand a second beside 500 slow requests.
        options.maxThreads = min(options.maxThreads, max(4, 2 * Syscall.processorCount))
        options.idleThreads = options.maxThreads
        try self.init(core, makeAsynchronousOperations(), options: options, log: log)
    }

    private init(
        _ core: SessionCore, _ operations: fuse_lowlevel_ops, options: Options, log: Logger
    ) throws(SessionError) {
        LibraryLog.install(log)
        self.core = core
        self.options = options
        self.log = log

        var operations = operations
        let userdata = Unmanaged.passUnretained(core).toOpaque()
        let (session, reason) = LibraryLog.collecting {
            withArguments(Self.arguments(for: options)) { count, values in
                var arguments = cfuse3_args(count, values)
                defer { fuse_opt_free_args(&arguments) }
                return cfuse3_session_new(
                    &arguments, &operations, MemoryLayout<fuse_lowlevel_ops>.size, userdata)
            }
        }
        guard let session else { throw SessionError(doing: "create the session", reason) }
        handle = session
    }

    deinit {
        // A task that is still running would reply to a destroyed session, so the session is kept.
        guard core.tasks.close(milliseconds: Self.patience) else {
            log.warning("requests are under way still; the session's memory is not freed")
            _ = Unmanaged.passRetained(core)
            return
        }
        // Also calls FileSystem.destroy if DESTROY never came; `core` is alive until after this.
        fuse_session_destroy(handle)
    }

    /// Mounts at `path`; for users other than root through fusermount3(1).
    /// - Throws: `SessionError` with the message of libfuse or fusermount3.
    public func mount(at path: FilePath) throws(SessionError) {
        let mount = { [handle] in
            LibraryLog.collecting { path.withPlatformString { fuse_session_mount(handle, $0) } }
        }
        let ((result, reason), lines) =
            geteuid() == 0 ? (mount(), []) : StandardError.collecting(mount)
        guard result == 0 else {
            throw SessionError(doing: "mount \(path.printable)", lines.last ?? reason)
        }
        for line in lines { log.warning("\(line)") }
        let (attached, why) = LibraryLog.collecting {
            cfuse3_tell_end(handle) { userdata in SessionCore.with(userdata) { $0.end() } }
        }
        guard attached == 0 else { throw SessionError(doing: "use /dev/fuse", why) }
        // The mount is not served yet: only calls that send no request can be answered.
        do {
            let device = try path.withPlatformString { try Syscall.device(of: $0) }
            let bytes = path.withPlatformString { text in
                UnsafeBufferPointer(start: text, count: strlen(text)).map { UInt8(bitPattern: $0) }
            }
            place = (bytes, device)
            core.fileSystem.mounted(device: device)
        } catch {
            log.warning("cannot tell the device number of \(path.printable): \(error)")
        }
    }

    /// Serves raw FUSE messages from a socket that keeps message boundaries (SOCK_SEQPACKET)
    /// instead of a mount: for tests. Takes ownership of `channel`.
    /// - Throws: `SessionError`.
    public func serve(channel: FileDescriptor) throws(SessionError) {
        let (result, reason) = LibraryLog.collecting {
            cfuse3_use_channel(handle, channel.rawValue)
        }
        guard result == 0 else { throw SessionError(doing: "use the channel", reason) }
    }

    /// Serves one raw request (struct fuse_in_header and what follows) on the calling thread; the
    /// reply, if the opcode has one, is on the channel afterwards. Only after `serve(channel:)`.
    public func process(_ request: UnsafeRawBufferPointer) {
        var buffer = fuse_buf()
        buffer.size = request.count
        buffer.mem = UnsafeMutableRawPointer(mutating: request.baseAddress)
        fuse_session_process_buf(handle, &buffer)
    }

    /// The open /dev/fuse of the connection, from `mount` to `unmount`. Do not close it.
    public var deviceFD: FileDescriptor {
        FileDescriptor(rawValue: fuse_session_fd(handle))
    }

    /// Unmounts, unless that was done from outside: then another mount may be there by now.
    /// Lazy: files that are still open continue to exist without a server.
    public func unmount() {
        if let place, !isThere(place), cfuse3_leave_mount(handle) != 0 {
            log.warning("cannot leave the mountpoint alone: \(Errno(rawValue: errno))")
        }
        place = nil
        fuse_session_unmount(handle)
    }

    /// True if the mount at the mountpoint is this session's.
    private func isThere(_ place: (path: [UInt8], device: dev_t)) -> Bool {
        guard let mounts = try? Syscall.mounts() else { return true }
        if let top = mounts.last(where: { $0.mountpoint == place.path }) {
            return top.device == place.device
        }
        // Mounted by a path that the kernel lists in another form.
        return mounts.contains { $0.device == place.device }
    }

    /// Serves until the mount has ended, `exit` is called, or SIGINT, SIGTERM or SIGHUP arrives.
    ///
    /// Those signals are blocked in the calling thread meanwhile. Threads started before must also
    /// block them, or they may still end the process.
    /// - Returns: the signal, nil if there was none.
    /// - Throws: `SessionError` if reading requests fails.
    public func run() throws(SessionError) -> Int32? {
        let (result, signal) = control.run(handle) {
            // The threads of the loop inherit it.
            let changesPriority = Syscall.niceness() == 0
            if changesPriority { Syscall.setNiceness(options.niceness) }
            defer { if changesPriority { Syscall.setNiceness(0) } }
            return cfuse3_loop(
                handle, UInt32(clamping: max(options.maxThreads, 1)),
                UInt32(clamping: max(options.idleThreads, 1)),
                options.clonesDescriptor ? 1 : 0)
        }
        if result < 0 {
            throw SessionError(doing: "serve requests", "\(Errno(rawValue: -result))")
        }
        return signal
    }

    /// True if the caller of the request that the calling thread serves has been killed, and only
    /// waits for the reply. For operations that may be given up.
    public static var callerEnds: Bool { cfuse3_caller_ends() != 0 }

    /// Blocks the signals that end `run` in the calling thread and in all threads that it then
    /// starts.
    package static func holdEndingSignals() {
        var signals = LoopControl.endingSignals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// Ends `run`, now or when it is called. From any thread.
    public func exit() {
        control.exit()
    }

    private static func arguments(for options: Options) -> [[UInt8]] {
        // libfuse splits options at commas that no backslash precedes.
        func escaped(_ text: [UInt8]) -> [UInt8] {
            text.flatMap { byte in
                byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\\")
                    ? [UInt8(ascii: "\\"), byte] : [byte]
            }
        }
        let flag = Array("-o".utf8)
        var arguments = [Array("fuse".utf8), flag, "fsname=".utf8 + escaped(options.sourceName)]
        if let subtype = options.subtype {
            arguments += [flag, "subtype=".utf8 + escaped(subtype)]
        }
        for option in options.mountOptions { arguments += [flag, option] }
        return arguments
    }
}

/// Calls `body` with argc and argv.
private func withArguments<R>(
    _ arguments: [[UInt8]],
    _ body: (Int32, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> R
) -> R {
    var values: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0.cString) }
    defer { for value in values { free(value) } }
    values.append(nil)
    return body(Int32(clamping: arguments.count), &values)
}
