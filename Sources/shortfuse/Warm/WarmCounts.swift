import Synchronization

/// What a walk has done so far, for several threads.
final class WarmCounts: Sendable {
    final class Counter: Sendable {
        private let count = Atomic(0)
        var value: Int { count.load(ordering: .relaxed) }
        func add(_ number: Int = 1) { count.wrappingAdd(number, ordering: .relaxed) }
    }

    let files = Counter()
    /// Listed, of those found.
    let directories = Counter()
    let directoriesFound = Counter()
    let symlinks = Counter()
    /// FIFOs, sockets, devices.
    let others = Counter()
    /// Regular files over the size limit, not read.
    let tooLarge = Counter()
    /// Read.
    let bytes = Counter()
    let errors = Counter()
}

/// What `warm --json` prints.
struct WarmReport: Encodable {
    let files: Int
    let directories: Int
    let symlinks: Int
    let others: Int
    let tooLarge: Int
    let bytes: Int
    let seconds: Double
    let errors: Int

    enum CodingKeys: String, CodingKey {
        case files, directories, symlinks, others
        case tooLarge = "too_large"
        case bytes, seconds, errors
    }

    init(_ counts: WarmCounts, seconds: Double) {
        files = counts.files.value
        directories = counts.directories.value
        symlinks = counts.symlinks.value
        others = counts.others.value
        tooLarge = counts.tooLarge.value
        bytes = counts.bytes.value
        self.seconds = seconds
        errors = counts.errors.value
    }

    /// For people.
    var text: String {
        let parts = [
            Self.some(files, "file", "files"),
            Self.some(directories, "directory", "directories"),
            Self.some(symlinks, "symlink", "symlinks"),
        ]
        let rest = [
            others > 0 ? Self.some(others, "other", "others") : nil,
            tooLarge > 0 ? "\(Self.some(tooLarge, "file", "files")) too large to read" : nil,
            Self.some(errors, "error", "errors"),
        ]
        return "warmed \(parts.joined(separator: ", ")); read \(Figures.bytes(bytes)) in "
            + "\(Figures.fixed(seconds, 2)) s; \(rest.compactMap(\.self).joined(separator: ", "))"
    }

    private static func some(_ count: Int, _ one: String, _ many: String) -> String {
        "\(count) \(count == 1 ? one : many)"
    }

    /// In one line while it goes on: a bar of the directories done of those found, and how fast.
    func progress(found: Int) -> String {
        let width = 20
        let done = min(width * directories / max(found, 1), width)
        let bar = String(repeating: "#", count: done) + String(repeating: "-", count: width - done)
        let rate = seconds > 0 ? Double(files) / seconds : 0
        return "[\(bar)] \(directories)/\(found) directories  \(files) files  "
            + "\(Figures.bytes(bytes))  \(Figures.fixed(rate, 0)) files/s"
    }
}
