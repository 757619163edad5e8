import CFuse3
import Glibc
import Synchronization
import SystemPackage

/// A request from its arrival to its reply, which another thread may send.
final class PendingRequest: @unchecked Sendable {
    // Safe to share: `request` is libfuse's, which lets any thread reply; the rest is locked.
    private enum State {
        case running
        /// libfuse notifies `self` of an INTERRUPT.
        case watched(Task<Void, Never>)
        case replied
    }

    private let request: fuse_req_t
    private let caller: pid_t
    private let state = Mutex(State.running)

    /// The interval of checks whether an interrupted caller is ending. Shorter: it ends sooner,
    /// more work.
    private static let interval = Duration.milliseconds(100)

    init(_ request: fuse_req_t, caller: pid_t) {
        self.request = request
        self.caller = caller
    }

    /// Cancels `task`, which answers this request, when the caller is killed.
    func watch(_ task: Task<Void, Never>) {
        state.withLock { state in
            guard case .running = state else { return }
            state = .watched(task)
            fuse_req_interrupt_func(
                request,
                { _, data in
                    guard let data else { return }
                    // Under libfuse's lock of the request: take no lock here.
                    let pending = Unmanaged<PendingRequest>.fromOpaque(data)
                        .takeUnretainedValue()
                    Task.detached { await pending.cancelWhenCallerEnds() }
                }, Unmanaged.passRetained(self).toOpaque())
        }
    }

    /// The kernel sends one INTERRUPT, for the first signal; only a fatal signal ends the request.
    private func cancelWhenCallerEnds() async {
        while let task = state.withLock({ state -> Task<Void, Never>? in
            if case .watched(let task) = state { task } else { nil }
        }) {
            if cfuse3_is_ending(caller) != 0 { return task.cancel() }
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// - Parameter send: replies, and returns whether the reply has reached the kernel (0).
    private func reply(_ send: (fuse_req_t) -> Int32) -> Bool {
        let wasWatched = state.withLock { state in
            defer { state = .replied }
            guard case .watched = state else { return false }
            // Returns when libfuse has left the function, and will not call it again.
            fuse_req_interrupt_func(request, nil, nil)
            return true
        }
        let result = send(request)
        if wasWatched { Unmanaged.passUnretained(self).release() }
        return result == 0
    }

    func fail(_ error: Errno) {
        _ = reply { fuse_reply_err($0, error.rawValue) }
    }

    /// - Returns: false if the kernel gave up the request: then it has not counted a lookup.
    func succeed(_ result: FileReply) -> Bool {
        reply { request in
            switch result {
            case .done:
                return fuse_reply_err(request, 0)
            case .entry(let entry):
                var parameters = entry.parameters
                return fuse_reply_entry(request, &parameters)
            case .attributes(var attributes):
                return fuse_reply_attr(request, &attributes.status, attributes.timeout)
            case .opened(let file):
                var info = fuse_file_info()
                file.store(in: &info)
                return fuse_reply_open(request, &info)
            case .created(let entry, let file):
                var parameters = entry.parameters
                var info = fuse_file_info()
                file.store(in: &info)
                return fuse_reply_create(request, &parameters, &info)
            case .bytes(let bytes):
                return bytes.withUnsafeBytes {
                    fuse_reply_buf(
                        request, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
                }
            case .count(let count):
                return fuse_reply_write(request, count)
            case .statistics(var statistics):
                return fuse_reply_statfs(request, &statistics)
            }
        }
    }

    /// Replies to GETXATTR and LISTXATTR: only with the size if `room` is 0.
    func succeed(_ result: FileReply, room: Int) -> Bool {
        guard case .bytes(let bytes) = result else { return succeed(result) }
        if room == 0 { return reply { fuse_reply_xattr($0, bytes.count) } }
        if bytes.count > room {
            fail(.outOfRange)
            return true
        }
        return succeed(result)
    }
}
