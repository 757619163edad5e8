import Glibc
import Logging
import MountRegistry
import Syscall
import SystemPackage

/// A store's mount in /run/shortfuse, where `shortfuse status` and the other commands find it.
struct MountRecord {
    let runtime: RuntimeDirectory
    let counters: CounterFile
    private let log: Logger

    /// Claims the place of the mount.
    /// - Throws: if a live mount has it, or a dead one is still there.
    init(_ mountpoint: FilePath, options: StoreMountOptions) throws(Failure) {
        log = options.log
        try RuntimeDirectory.checkEnvironment()
        let path: Path
        do throws(Errno) {
            path = try Paths.canonical(Path(mountpoint.string))
        } catch {
            throw Failure("\(mountpoint): \(error); create it, or check the path")
        }
        runtime = RuntimeDirectory(mountpoint: path)
        try runtime.clearLeftovers { () throws(Failure) in
            var found = statvfs()
            if statvfs(path.cString, &found) != 0, errno == ENOTCONN {
                throw Failure(
                    "\(path): a killed daemon left a dead mount; remove it first: "
                        + "shortfuse unmount \(path)")
            }
        }
        try runtime.claim(
            MountState(
                source: Path(options.sourceName), mountpoint: path, pins: runtime.pins,
                options: options.mountOptions))
        do throws(Failure) {
            counters = try CounterFile(path: runtime.requestsPath)
        } catch {
            try? runtime.release()
            throw error
        }
    }

    /// Records that the mount is there.
    /// - Parameter reason: why it is not accelerated; nil if it is.
    func mounted(_ reason: String?) throws(Failure) {
        try runtime.update {
            $0.device = try? Syscall.device(of: $0.mountpoint.cString)
            $0.accelerated = reason == nil
            $0.reason = reason
            $0.kernelCacheReason = nil
        }
    }

    func release() { runtime.release(log) }
}
