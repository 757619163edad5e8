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

    public struct Options: Sendable {
        /// What mount(8) shows as the source.
        public var sourceName = "fuse"
        /// What mount(8) shows as the type: `fuse.` and this.
        public var subtype: String?
        /// Further `-o` options, mount(8)'s and libfuse's, each `name` or `name=value`.
        public var mountOptions: [String] = ["default_permissions"]
        /// Requests served at once. More help where SOURCE is slow to answer.
        public var maxThreads = 10
        /// One /dev/fuse descriptor per thread: less contention with many busy cores.
        public var clonesDescriptor = false
        /// Called at INIT, before its reply, on a thread that serves requests.
        public var initialized: (@Sendable (Agreement) -> Void)?

        public init() {}
    }

    /// - Parameters:
    ///   - counters: counts what reaches `fileSystem`; nil for none.
    ///   - latency: takes the time of each request from its dispatch until its reply is written; nil
    ///     for no timing.
    /// - Throws: `SessionError`, in libfuse's words: options that it does not know, no memory.
    public init(
        _ fileSystem: any FileSystem, options: Options = Options(),
        counters: RequestCounters? = nil, latency: LatencyBuckets? = nil,
        log: Logger = Logger(label: "fuse")
    ) throws(SessionError) {
        LibraryLog.install(log)
        let core = SessionCore(
            fileSystem: fileSystem, counters: counters, latency: latency,
            initialized: options.initialized)
        self.core = core
        self.options = options
        self.log = log

        var operations = makeOperations()
        let userdata = Unmanaged.passUnretained(core).toOpaque()
        let (session, reason) = LibraryLog.collecting {
            withArguments(Self.arguments(for: options)) { count, values in
                var arguments = cfuse3_args(count, values)
                defer { fuse_opt_free_args(&arguments) }
                return fuse_session_new(
                    &arguments, &operations, MemoryLayout<fuse_lowlevel_ops>.size, userdata)
            }
        }
        guard let session else { throw SessionError(doing: "create the session", reason) }
        handle = session
    }

    deinit {
        // Also calls FileSystem.destroy if DESTROY never came; `core` is alive until after this.
        fuse_session_destroy(handle)
    }

    /// Mounts at `path`.
    /// - Throws: `SessionError`, in libfuse's words.
    public func mount(at path: FilePath) throws(SessionError) {
        let (result, reason) = LibraryLog.collecting {
            path.withPlatformString { fuse_session_mount(handle, $0) }
        }
        guard result == 0 else { throw SessionError(doing: "mount \(path)", reason) }
        // Nobody serves the mount yet: only a question that sends no request can be answered.
        do {
            core.fileSystem.mounted(
                device: try path.withPlatformString { try Syscall.device(of: $0) })
        } catch {
            log.warning("cannot tell the device number of \(path): \(error)")
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

    /// The open /dev/fuse of the connection, from `mount` to `unmount`. Not to be closed.
    public var deviceFD: FileDescriptor {
        FileDescriptor(rawValue: fuse_session_fd(handle))
    }

    /// Unmounts, unless that happened from outside. Lazily: files still open go on to exist without
    /// a server.
    public func unmount() {
        fuse_session_unmount(handle)
    }

    /// Serves until the mount is gone, `exit` is called, or SIGINT, SIGTERM or SIGHUP arrives.
    ///
    /// Those signals are blocked in the calling thread meanwhile. Threads started before must have
    /// them blocked too, or they may still end the process.
    /// - Returns: the signal, nil if there was none.
    /// - Throws: `SessionError` if reading requests fails.
    public func run() throws(SessionError) -> Int32? {
        let (result, signal) = control.run(handle) {
            cfuse3_loop(
                handle, UInt32(clamping: max(options.maxThreads, 1)),
                options.clonesDescriptor ? 1 : 0)
        }
        if result < 0 {
            throw SessionError(doing: "serve requests", "\(Errno(rawValue: -result))")
        }
        return signal
    }

    /// Ends `run`, now or when it is called. From any thread.
    public func exit() {
        control.exit()
    }

    private static func arguments(for options: Options) -> [String] {
        // libfuse splits options at commas that no backslash precedes.
        func escaped(_ text: String) -> String {
            text.replacing("\\", with: "\\\\").replacing(",", with: "\\,")
        }
        var arguments = ["fuse", "-o", "fsname=" + escaped(options.sourceName)]
        if let subtype = options.subtype { arguments += ["-o", "subtype=" + escaped(subtype)] }
        for option in options.mountOptions { arguments += ["-o", option] }
        return arguments
    }
}

/// Calls `body` with argc and argv.
private func withArguments<R>(
    _ arguments: [String],
    _ body: (Int32, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> R
) -> R {
    var values: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    defer { for value in values { free(value) } }
    values.append(nil)
    return body(Int32(clamping: arguments.count), &values)
}
