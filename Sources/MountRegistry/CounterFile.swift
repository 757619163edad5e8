import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// The file `requests`: words of 8 bytes, in the host's order, that the daemon counts in while it
/// lives and that others read. What is there keeps its place, and what is new goes to the end: a
/// reader takes as much as it knows.
package enum CounterLayout {
    /// Requests that reached the daemon, by opcode, from byte 0 on.
    package static let requests = 0..<RequestCounters.byteCount
    /// Nodes known: one word.
    package static let nodes = requests.upperBound..<(requests.upperBound + 8)
    package static let gauges = nodes.upperBound..<(nodes.upperBound + CacheGauges.byteCount)
    package static let latency = gauges.upperBound..<(gauges.upperBound + LatencyBuckets.byteCount)
    package static let size = latency.upperBound
}

/// The daemon's side: mapped as long as the process lives.
package struct CounterFile {
    package let requests: RequestCounters
    package let nodes: UnsafeMutableRawPointer
    package let gauges: CacheGauges
    package let latency: LatencyBuckets

    package init(path: Path) throws(Failure) {
        let file = open(path.cString, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw Failure("\(path): \(RuntimeDirectory.describe(Errno.last))")
        }
        defer { close(file) }
        let size = CounterLayout.size
        // All of it has room from now on: counting where a full file system has none is a SIGBUS.
        let refused = posix_fallocate(file, 0, off_t(size))
        guard refused == 0 else {
            throw Failure("\(path): \(RuntimeDirectory.describe(Errno(rawValue: refused)))")
        }
        guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            memory != MAP_FAILED
        else { throw Failure("\(path): \(Errno.last)") }
        requests = RequestCounters(memory: memory + CounterLayout.requests.lowerBound)
        nodes = memory + CounterLayout.nodes.lowerBound
        gauges = CacheGauges(memory: memory + CounterLayout.gauges.lowerBound)
        latency = LatencyBuckets(memory: memory + CounterLayout.latency.lowerBound)
    }
}

/// The readers' side: what a `CounterFile` said at one moment. What its daemon did not count is 0.
package struct CounterSnapshot: Sendable {
    private var words = [UInt64](repeating: 0, count: CounterLayout.size / 8)

    /// All zeros if there is no such file.
    package init(path: Path) {
        let bytes = (try? Files.read(path, limit: CounterLayout.size)) ?? []
        words.withUnsafeMutableBytes { $0.copyBytes(from: bytes.prefix($0.count)) }
    }

    /// By opcode.
    package var requests: ArraySlice<UInt64> { words(CounterLayout.requests) }
    package var nodes: UInt64 { words[CounterLayout.nodes.lowerBound / 8] }
    /// By bucket.
    package var latency: [UInt64] { Array(words(CounterLayout.latency)) }

    package subscript(gauge: CacheGauges.Name) -> UInt64 {
        words[CounterLayout.gauges.lowerBound / 8 + gauge.rawValue]
    }

    private func words(_ bytes: Range<Int>) -> ArraySlice<UInt64> {
        words[(bytes.lowerBound / 8)..<(bytes.upperBound / 8)]
    }
}
