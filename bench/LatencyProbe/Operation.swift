import ArgumentParser
import Glibc

/// What is measured: one call, or a fixed run of calls.
enum Operation: String, CaseIterable, ExpressibleByArgument {
    case stat
    case statMissing = "stat-missing"
    case openReadClose = "open-read-close"
    case openReadClose1K = "open-read-close-1k"
    case openReadClose16K = "open-read-close-16k"
    case openReadClose64K = "open-read-close-64k"
    case openReadCloseDirect = "open-read-close-direct"
    case mmapRead = "mmap-read"
    case readlink
    case getxattrAbsent = "getxattr-absent"
    case readdirStat = "readdir-stat"
    case epoch
    case create
    case unlink
    case rename
    case readSequential = "read-sequential"
    case readRandom = "read-random"
    case writeSequential = "write-sequential"
    case write4K = "write-4k"
    case writeRead4K = "write-read-4k"
    case readdirLarge = "readdir-large"
    case list = "ls"
    case listRecursive = "ls-R"
    case listLong = "ls-l"
    case statfs
    case gitStatus = "git-status"
    case pythonImports = "python-imports"

    /// Those that are measured unless others are named: the rest take long, or much room.
    static var usual: ArraySlice<Operation> {
        allCases.prefix { $0 != .create }
    }

    /// What the operation is run on, once a round for each.
    func entries(in dataSet: DataSet) -> [any Entry] {
        switch self {
        case .stat, .openReadClose: dataSet.small
        case .statMissing: dataSet.absent
        case .openReadClose1K: dataSet.size1K
        case .openReadClose16K, .mmapRead: dataSet.size16K
        case .openReadClose64K: dataSet.size64K
        case .openReadCloseDirect, .getxattrAbsent, .statfs: dataSet.someSmall
        case .readlink: dataSet.links
        // Twice, for two samples a round: each takes as long as 1,000 calls of stat.
        case .readdirStat: [dataSet.listing, dataSet.listing]
        case .epoch: dataSet.epoch
        case .create, .unlink, .rename: dataSet.scratch
        case .readSequential: dataSet.large.chunks
        case .readRandom: dataSet.large.scattered(1000)
        case .writeSequential: dataSet.written.chunks
        case .write4K, .writeRead4K: dataSet.written.scattered(1000)
        case .readdirLarge, .list, .listRecursive, .listLong: [dataSet.crowd]
        case .gitStatus: [dataSet.repository]
        case .pythonImports: [dataSet.modules]
        }
    }

    /// How many of `rounds` are run: an epoch's pass takes long and has samples enough.
    func rounds(of rounds: Int) -> Int {
        self == .epoch ? (rounds + 1) / 2 : rounds
    }

    /// Whether the files' content is to be as made: not if the operation itself writes it.
    var isChecked: Bool { ![.writeSequential, .write4K, .writeRead4K].contains(self) }

    /// In another order each round, the same for all subjects.
    var isShuffled: Bool { self == .epoch }

    /// The error by which a file system says that it has no such operation.
    var refusal: CInt? {
        switch self {
        case .openReadCloseDirect: EINVAL
        case .getxattrAbsent: EOPNOTSUPP
        default: nil
        }
    }

    /// What a call on `entry` has to bring.
    func expectation(of entry: any Entry) -> Expectation {
        switch entry {
        case let listing as Listing:
            let total = listing.files.reduce(0) { $0 + $1.size }
            return Expectation(size: listing.files.count, check: UInt64(total))
        case let crowd as Crowd:
            return Expectation(size: crowd.count, check: 0)
        case let piece as Piece:
            return Expectation(
                size: piece.size,
                check: piece.file.lastBytes(before: piece.offset + piece.size))
        case let link as SymbolicLink:
            let target = Array(link.target.utf8)
            return Expectation(
                size: target.count, check: target.withUnsafeBytes { lastWord(of: $0) })
        case let file as RegularFile where self == .mmapRead:
            let check = file.content().withUnsafeBytes { touchEachPage(of: $0) }
            return Expectation(size: file.size, check: check)
        case let file as RegularFile:
            let check = file.content().withUnsafeBytes { lastWord(of: $0) }
            return Expectation(size: file.size, check: check)
        default:
            return Expectation(size: 0, check: 0)
        }
    }
}

/// How a call's result is recognised.
struct Expectation {
    /// Bytes, or entries of a directory.
    let size: Int
    /// The last bytes, so that neither a short read nor another file's content passes; or what else
    /// a call adds up.
    let check: UInt64
}

/// The last 8 bytes, or fewer if there are fewer.
func lastWord(of bytes: UnsafeRawBufferPointer) -> UInt64 {
    bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
}

/// Reads the first byte of each page, and returns them folded into a word.
@inline(__always)
func touchEachPage(of bytes: UnsafeRawBufferPointer) -> UInt64 {
    var folded: UInt64 = 0
    for offset in stride(from: 0, to: bytes.count, by: 4096) {
        folded = folded &* 257 &+ UInt64(bytes[offset])
    }
    return folded
}
