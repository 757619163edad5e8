import Glibc
import MountRegistry
import SystemPackage

/// Finds out which mounts answer, without waiting for those that do not.
///
/// Never is there more than one question to a mount: one that has not answered the last is not asked
/// again. So a daemon that hangs holds up one process, however often somebody wants to know.
final class MountQuestions {
    private final class Pending {
        let question: Question

        /// Nil, with errno set, if no process can be started.
        init?(_ mountpoint: Path) {
            // Attributes may come from the kernel's own caches, whether the daemon lives or not.
            guard let question = Question(mountpoint, kind: ["--statistics"]) else { return nil }
            self.question = question
        }
    }

    private var pending: [Path: Pending] = [:]
    private let end: FileDescriptor

    /// - Parameter end: when it can be read, nobody is waited for any more.
    init(until end: FileDescriptor) {
        self.end = end
    }

    deinit {
        for left in pending.values { left.question.abandon() }
    }

    /// Asks all of `mountpoints` at once.
    /// - Parameter patience: how long this may take, in all.
    /// - Returns: of those that did not answer well, in what words.
    func ask(_ mountpoints: [Path], patience: Duration) -> [Path: String] {
        // Late as they are, these were answers; now there may be others. Also of mounts that are gone
        // since: nobody else collects those processes.
        _ = collect(Array(pending.keys), until: .now)
        var complaints: [Path: String] = [:]
        var asked: [Path] = []
        for mountpoint in mountpoints where pending[mountpoint] == nil {
            if let question = Pending(mountpoint) {
                pending[mountpoint] = question
                asked.append(mountpoint)
            } else {
                complaints[mountpoint] = "it cannot be asked: \(Errno.last)"
            }
        }
        // Those asked earlier have been waited for.
        complaints.merge(collect(asked, until: .now + patience)) { $1 }
        for mountpoint in mountpoints where pending[mountpoint] != nil {
            complaints[mountpoint] = "it does not answer"
        }
        return complaints
    }

    /// Takes the answers of `mountpoints` that come before `end`.
    private func collect(
        _ mountpoints: [Path], until end: ContinuousClock.Instant
    ) -> [Path: String] {
        var complaints: [Path: String] = [:]
        while true {
            let asked = mountpoints.compactMap { place in
                pending[place].map { (key: place, value: $0) }
            }
            guard !asked.isEmpty else { return complaints }
            let descriptors = asked.map { $0.value.question.output } + [self.end.rawValue]
            var polled = descriptors.map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            let left = max(ContinuousClock.now.duration(to: end), .zero) / .milliseconds(1)
            let count = poll(&polled, nfds_t(polled.count), CInt(left.rounded(.up)))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return complaints }
            for (question, poll) in zip(asked, polled) where poll.revents != 0 {
                complaints[question.key] = question.value.question.complaint()
                pending[question.key] = nil
            }
            if polled.last?.revents != 0 { return complaints }
        }
        return complaints
    }
}
