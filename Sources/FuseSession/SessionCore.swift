import CFuse3
import Logging
import Synchronization
import Syscall
import SystemPackage

/// What the callbacks need; libfuse passes it as userdata.
final class SessionCore: Sendable {
    let fileSystem: any FileSystem
    /// Nil: `fileSystem` answers.
    let asynchronous: (any AsynchronousFileSystem)?
    /// The running tasks of `asynchronous`.
    let tasks = TaskCount()
    let counters: RequestCounters?
    let latency: LatencyBuckets?
    let initialized: (@Sendable (Agreement) -> Void)?
    private let ended: (@Sendable () -> Void)?
    private let hasEnded = Atomic(false)

    init(
        fileSystem: any FileSystem, asynchronous: (any AsynchronousFileSystem)? = nil,
        counters: RequestCounters?, latency: LatencyBuckets?,
        initialized: (@Sendable (Agreement) -> Void)?, ended: (@Sendable () -> Void)? = nil
    ) {
        self.fileSystem = fileSystem
        self.asynchronous = asynchronous
        self.counters = counters
        self.latency = latency
        self.initialized = initialized
        self.ended = ended
    }

    /// The connection has ended; each thread that learns of it calls this.
    func end() {
        guard !hasEnded.exchange(true, ordering: .sequentiallyConsistent) else { return }
        ended?()
    }

    /// The maximum size of a reply in bytes: far more than the protocol negotiates, and small
    /// enough that a malformed request cannot exhaust memory.
    static let maxReply = 1 << 26

    @inline(__always)
    static func with(_ userdata: UnsafeMutableRawPointer?, _ body: (SessionCore) -> Void) {
        guard let userdata else { return }
        // The session keeps the core until no callback can run: no reference counting here.
        Unmanaged<SessionCore>.fromOpaque(userdata)._withUnsafeGuaranteedRef(body)
    }

    /// The calling thread's buffer for a reply.
    @inline(__always)
    static func buffer(_ size: Int) throws(Errno) -> UnsafeMutableRawBufferPointer {
        guard size <= maxReply else { throw .invalidArgument }
        return try Syscall.threadBuffer(slot: 0, size: size)
    }
}

/// Counts and times a request, runs `body`, which replies unless it throws, and replies with what
/// it throws.
@inline(__always)
func serve(
    _ request: fuse_req_t?, _ opcode: Opcode,
    _ body: (any FileSystem, RequestContext) throws(Errno) -> Void
) {
    guard let request else { return }
    SessionCore.with(fuse_req_userdata(request)) { core in
        core.counters?.count(opcode)
        let start = core.latency == nil ? 0 : Syscall.monotonicNanoseconds()
        cfuse3_set_request(request)
        let token = core.fileSystem.requestBegins()
        defer {
            core.fileSystem.requestEnds(token)
            cfuse3_set_request(nil)
        }
        do throws(Errno) {
            try body(core.fileSystem, RequestContext(request))
        } catch {
            fuse_reply_err(request, error.rawValue)
        }
        core.latency?.record(since: start)
    }
}

/// As `serve`, for requests whose reply is empty.
@inline(__always)
func serveEmpty(
    _ request: fuse_req_t?, _ opcode: Opcode,
    _ body: (any FileSystem, RequestContext) throws(Errno) -> Void
) {
    serve(request, opcode) { (fileSystem, context) throws(Errno) in
        try body(fileSystem, context)
        fuse_reply_err(request, 0)
    }
}

/// As `serve`, for requests that create or look up a name. If the reply does not reach the kernel
/// (ENOENT: the request was interrupted), the kernel has not counted the lookup, so it is undone.
@inline(__always)
func serveEntry(
    _ request: fuse_req_t?, _ opcode: Opcode,
    _ body: (any FileSystem, RequestContext) throws(Errno) -> Entry
) {
    serve(request, opcode) { (fileSystem, context) throws(Errno) in
        let entry = try body(fileSystem, context)
        var parameters = entry.parameters
        if fuse_reply_entry(request, &parameters) != 0, entry.nodeID != 0 {
            fileSystem.forget(node: entry.nodeID, count: 1)
        }
    }
}
