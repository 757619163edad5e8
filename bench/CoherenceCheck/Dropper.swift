import Glibc
import Synchronization

/// Drops the kernel's unused dentries and inodes again and again, so that it sends FORGET.
final class Dropper: Sendable {
    private let isOver = Atomic(false)
    private let drops = Atomic(0)
    private let thread = Mutex(pthread_t())

    init(milliseconds: Int) throws {
        let fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC)
        guard fd >= 0 else { throw Failure("cannot open /proc/sys/vm/drop_caches", errno) }
        let interval = UInt32(clamping: milliseconds * 1000)
        let started = Crew.start { [self] in
            while !isOver.load(ordering: .relaxed) {
                // Not the page cache: 1 or 3 would.
                write(fd, "2", 1)
                drops.add(1, ordering: .relaxed)
                usleep(interval)
            }
            close(fd)
        }
        thread.withLock { $0 = started }
    }

    /// Returns how often.
    func stop() -> Int {
        isOver.store(true, ordering: .relaxed)
        pthread_join(thread.withLock { $0 }, nil)
        return drops.load(ordering: .relaxed)
    }
}
