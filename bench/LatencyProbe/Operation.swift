import ArgumentParser
import Glibc

/// What is measured: one call, or a fixed run of calls, per file.
enum Operation: String, CaseIterable, ExpressibleByArgument {
    case stat
    case statMissing = "stat-missing"
    case openReadClose = "open-read-close"

    /// The paths that the operation is run on.
    func paths(in dataSet: DataSet) -> [String] {
        self == .statMissing ? dataSet.missing : dataSet.files
    }
}

/// Paths as C strings, and room for one sample each: made before the clock starts, so that nothing
/// is allocated or counted by reference while it runs.
final class Block {
    private let paths: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>>
    private let buffer: UnsafeMutableRawPointer
    /// Nanoseconds per path of the last `run`.
    let samples: UnsafeMutableBufferPointer<UInt64>

    init(paths strings: [String]) {
        paths = .allocate(capacity: strings.count)
        _ = paths.initialize(fromContentsOf: strings.map { strdup($0)! })
        samples = .allocate(capacity: strings.count)
        samples.initialize(repeating: 0)
        buffer = .allocate(byteCount: DataSet.fileSize, alignment: DataSet.fileSize)
    }

    deinit {
        for path in paths { free(path) }
        paths.deallocate()
        samples.deallocate()
        buffer.deallocate()
    }

    /// Runs `operation` under `root` once for each of the first `limit` paths.
    func run(_ operation: Operation, under root: CInt, count limit: Int = .max) throws {
        let count = min(limit, paths.count)
        let failed: Int?
        switch operation {
        case .stat:
            var status = Glibc.stat()
            failed = time(count) { path in fstatat(root, path, &status, 0) == 0 }
        case .statMissing:
            var status = Glibc.stat()
            failed = time(count) { path in
                fstatat(root, path, &status, 0) == -1 && errno == ENOENT
            }
        case .openReadClose:
            let buffer = buffer
            failed = time(count) { path in
                let file = openat(root, path, O_RDONLY)
                let size = read(file, buffer, DataSet.fileSize)
                return close(file) == 0 && size == DataSet.fileSize
            }
        }
        if let failed {
            throw ProbeError(
                "\(operation.rawValue) of \(String(cString: paths[failed])) went wrong")
        }
    }

    /// The timed loop. Returns the index of a call that gave the wrong result, if any.
    @inline(__always)
    private func time(_ count: Int, _ call: (UnsafePointer<CChar>) -> Bool) -> Int? {
        let paths = paths
        let samples = samples
        var failed: Int?
        for index in 0..<count {
            let path = UnsafePointer(paths[index])
            let start = now()
            let isRight = call(path)
            samples[index] = now() &- start
            if !isRight { failed = index }
        }
        return failed
    }
}

/// Nanoseconds of the monotonic clock.
@inline(__always)
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
        &+ UInt64(truncatingIfNeeded: time.tv_nsec)
}
