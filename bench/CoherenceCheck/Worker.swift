import Glibc
import Linearizability
import SeededRandom
import Syscall
import SystemPackage

extension SplitMix64 {
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next() % UInt64(bound))
    }
}

/// Makes random calls through its client and logs each. What they are is in `Worker+Names.swift`,
/// `Worker+Files.swift` and `Worker+Behind.swift`.
final class Worker {
    let number: Int
    let client: any Client
    let scene: Scene
    private let behind: BehindFiles?
    var random: SplitMix64
    /// What is wrong by itself: an error that the call cannot have, half of a value.
    private(set) var complaints: [String] = []
    private(set) var operations = 0
    /// Reads that met a write half-way: allowed, since SOURCE itself shows it.
    var mixedReads = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
    /// Of `Layout.names`, as C strings.
    let names: [UnsafePointer<CChar>]

    /// - Parameter behind: nil if nothing changes behind the mount.
    init(
        _ number: Int, _ client: any Client, _ scene: Scene, seed: UInt64,
        behind: BehindFiles? = nil
    ) {
        self.number = number
        self.client = client
        self.scene = scene
        self.behind = behind
        random = SplitMix64(seed: seed &+ UInt64(number) &* 0x5851_F42D_4C95_7F2D)
        names = Layout.names.map { name in
            let bytes = Array(name.utf8CString)
            let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: bytes.count)
            _ = copy.initialize(from: bytes)
            return UnsafePointer(copy.baseAddress!)
        }
        if let behind { noteInitial(behind) }
    }

    deinit {
        buffer.deallocate()
        for name in names { name.deallocate() }
    }

    func step() {
        operations += 1
        if let behind, random.below(100) < 20 { return behindStep(behind) }
        switch random.below(100) {
        case ..<8: missingStep()
        case ..<45: filesStep()
        case ..<65: directoriesStep()
        case ..<85: attributesStep()
        case ..<94: dataStep()
        default: extendedStep()
        }
    }

    /// Runs `call` and notes when.
    func timed<R>(_ call: () throws(Errno) -> R) -> (Span, Result<R, Errno>) {
        let start = Syscall.monotonicNanoseconds()
        let result: Result<R, Errno>
        do throws(Errno) {
            result = .success(try call())
        } catch {
            result = .failure(error)
        }
        return (Span(start: start, end: Syscall.monotonicNanoseconds()), result)
    }

    func complain(_ what: String, _ error: Errno) {
        complaints.append("worker \(number): \(what): \(error)")
    }

    func complain(_ what: String) {
        complaints.append("worker \(number): \(what)")
    }

    /// A value that nobody else writes for a while. One byte, because memory is copied in units no
    /// larger than that where the processor is emulated.
    func newTag() -> UInt8 {
        UInt8(truncatingIfNeeded: scene.tags.wrappingAdd(1, ordering: .relaxed).newValue)
    }

    /// The clock that file systems stamp by: a stamp made from now on is not below.
    static func stampClock() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return Status.nanoseconds(time)
    }
}
