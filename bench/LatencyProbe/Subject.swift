import ArgumentParser
import Glibc

/// NAME=DIRECTORY[:COUNTERFILE] as given on the command line; `-` stands for a daemon that does not count.
struct SubjectArgument: ExpressibleByArgument {
    let name: String
    let directory: String
    let counterFile: String?

    init?(argument: String) {
        let halves = argument.split(separator: "=", maxSplits: 1)
        guard halves.count == 2 else { return nil }
        let places = halves[1].split(separator: ":", maxSplits: 1)
        guard let directory = places.first else { return nil }
        let isPlain = halves[0].utf8.allSatisfy { byte in
            byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
        }
        guard isPlain else { return nil }
        name = String(halves[0])
        self.directory = String(directory)
        counterFile = places.count == 2 ? String(places[1]) : nil
    }
}

/// One directory to measure.
struct Subject {
    let name: String
    /// Open, so that no subject pays for its mount point's own path.
    let root: Root
    private let requests: RequestFile?
    /// Has a daemon of its own.
    let isMount: Bool
    /// Whether it is known how many requests there are, also because there are none.
    var isCounted: Bool { !isMount || requests != nil }

    init(_ argument: SubjectArgument) throws {
        name = argument.name
        root = try Root(argument.directory)
        isMount = argument.counterFile != nil
        requests = try argument.counterFile.flatMap { $0 == "-" ? nil : try RequestFile($0) }
    }

    /// Has the kernel forget all names of a mounted subject, and so its daemon all nodes: a remount
    /// does that as a side effect. passthrough_ll finds its nodes by walking a list of all, and
    /// would otherwise be slower with each operation that was measured before.
    func forgetNodes() throws {
        guard isMount else { return }
        var status = statvfs()
        guard fstatvfs(root.descriptor, &status) == 0 else { throw ProbeError(errnoOf: root.name) }
        // Read-only, nosuid and the like stay as they are; their ST_* have the values of MS_*.
        let kept = status.f_flag & UInt(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        guard mount(nil, root.name, nil, kept | UInt(MS_REMOUNT), nil) == 0 else {
            throw ProbeError(errnoOf: "remounting \(root.name)")
        }
        _ = try requests?.settledTotal()
    }

    /// Requests that the daemon has received so far; 0 without a daemon. Takes a rest, whatever the
    /// subject, so that all are measured after the same one.
    func requestCount() throws -> UInt64 {
        guard let requests else {
            usleep(RequestFile.rest)
            return 0
        }
        return try requests.settledTotal()
    }
}

/// The counter file of a daemon.
struct RequestFile {
    static let counters = 64
    /// Microseconds without a change after which a count is taken to stand still. Shorter, and on a
    /// busy machine a late RELEASE is booked to the next block.
    static let rest: UInt32 = 20_000

    private let descriptor: CInt
    private let path: String

    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ProbeError(errnoOf: "counter file \(path)") }
    }

    private func total() throws -> UInt64 {
        try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.counters) { counts in
            let bytes = UnsafeMutableRawBufferPointer(counts)
            guard pread(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count else {
                throw ProbeError("counter file \(path): shorter than \(bytes.count) bytes")
            }
            return counts.reduce(0) { $0 &+ UInt64(littleEndian: $1) }
        }
    }

    /// The total once it stands still (or after two seconds): RELEASE reaches the daemon after close has returned.
    func settledTotal() throws -> UInt64 {
        var last = try total()
        for _ in 0..<100 {
            usleep(Self.rest)
            let now = try total()
            if now == last { break }
            last = now
        }
        return last
    }
}
