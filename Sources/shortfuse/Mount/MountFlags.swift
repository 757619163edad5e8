import Glibc

/// Flags of mount(2), by the words that mount(8) has for them.
struct MountFlags: Equatable, Sendable {
    private(set) var bits: UInt = 0

    private static let readOnly: UInt = 1
    private static let noSymlinks: UInt = 256
    private static let relativeTimes: UInt = 1 << 21
    private static let strictTimes: UInt = 1 << 24
    private static let lazyTimes: UInt = 1 << 25

    /// Each word, and what it sets or clears.
    private static let words: [String: (set: UInt, clear: UInt)] = {
        let noAccessTimes: UInt = 1024
        var words: [String: (set: UInt, clear: UInt)] = [
            "dirsync": (128, 0),
            "relatime": (relativeTimes, noAccessTimes | strictTimes),
            "norelatime": (0, relativeTimes),
            "strictatime": (strictTimes, noAccessTimes | relativeTimes),
            "nostrictatime": (0, strictTimes),
            "noatime": (noAccessTimes, relativeTimes | strictTimes),
            "atime": (0, noAccessTimes),
        ]
        let pairs: [(on: String, off: String, bit: UInt)] = [
            ("ro", "rw", readOnly), ("nosuid", "suid", 2), ("nodev", "dev", 4),
            ("noexec", "exec", 8), ("sync", "async", 16),
            ("nosymfollow", "symfollow", noSymlinks), ("nodiratime", "diratime", 2048),
            ("lazytime", "nolazytime", lazyTimes),
        ]
        for pair in pairs {
            words[pair.on] = (pair.bit, 0)
            words[pair.off] = (0, pair.bit)
        }
        return words
    }()

    static func isWord(_ word: String) -> Bool { words[word] != nil }

    init() {}

    /// Those of a mount, from `f_flag` of statvfs(3).
    init(status: UInt) {
        // The lower ones are those of mount(2). Of the others the two have their own numbers.
        bits = status & (1 | 2 | 4 | 8 | 16 | 1024 | 2048)
        if status & 4096 != 0 { bits |= Self.relativeTimes }
        if status & 8192 != 0 { bits |= Self.noSymlinks }
        // Neither is how mount(2) is told that all times move.
        if bits & (1024 | Self.relativeTimes) == 0 { bits |= Self.strictTimes }
    }

    mutating func apply(_ word: String) {
        guard let change = Self.words[word] else { return }
        bits = bits & ~change.clear | change.set
    }
}
