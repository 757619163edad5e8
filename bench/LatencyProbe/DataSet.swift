import SeededRandom

/// What every subject holds.
struct DataSet {
    static let smallSize = 4096
    static let largestSize = 64 * 1024

    /// As many files of 4 KiB as asked for, at the depth asked for.
    let small: [RegularFile]
    /// Names beside `small` that do not exist.
    let absent: [AbsentName]
    /// A part of `small` for operations whose calls take long or need few.
    let someSmall: [RegularFile]
    let size1K: [RegularFile]
    let size16K: [RegularFile]
    let size64K: [RegularFile]
    /// Links to files of `small`.
    let links: [SymbolicLink]
    /// 1,000 files in one directory.
    let listing: Listing
    /// 2,000 files of 1–16 KiB, three components deep, as a training set may be laid out.
    let epoch: [RegularFile]
    /// Names that come and go.
    let scratch: [Scratch]
    let large = LargeFile(path: "large/read", size: 64 << 20, seed: seed(6, 0))
    let written = LargeFile(path: "large/written", size: 16 << 20, seed: seed(7, 0))
    /// 100,000 files in one directory.
    let crowd = Crowd(path: "crowd", count: 100_000)
    /// 2,000 files in 20 directories, all committed.
    let repository = Repository(path: "repository", count: 2000, seed: seed(8, 0))
    let modules = PythonModules(path: "python", count: 100)

    /// Files for each operation that does not use all of `small`: a few rounds make a 99th
    /// percentile of them.
    private static let some = 100

    init(files count: Int, depth: Int) {
        let places = Self.places(count, depth: depth)
        let small = places.enumerated().map { index, place in
            RegularFile(path: place.file, size: Self.smallSize, seed: Self.seed(0, index))
        }
        self.small = small
        absent = places.map { AbsentName(path: $0.absent) }
        someSmall = Array(small.prefix(Self.some))
        size1K = Self.files(1024, count: Self.some, in: "size1k", depth: depth, set: 1)
        size16K = Self.files(16 * 1024, count: Self.some, in: "size16k", depth: depth, set: 2)
        size64K = Self.files(
            Self.largestSize, count: Self.some / 2, in: "size64k", depth: depth, set: 3)
        links = zip(Self.places(Self.some, depth: depth, in: "links"), small).map { place, file in
            let up = place.file.utf8.count { $0 == UInt8(ascii: "/") }
            let target = String(repeating: "../", count: up) + file.path
            return SymbolicLink(path: place.file, target: target)
        }
        listing = Self.makeListing(set: 4)
        epoch = Self.makeEpoch(set: 5)
        scratch = Self.places(2 * Self.some, depth: depth, in: "scratch").map {
            Scratch(path: $0.file)
        }
    }

    /// All that has to be made for these operations; what the usual ones need, in any case.
    func entries(for operations: [Operation]) -> [any Entry] {
        var entries: [any Entry] =
            small + size1K + size16K + size64K + links + [listing] + epoch + scratch
        let operations = Set(operations)
        if operations.contains(.readSequential) || operations.contains(.readRandom) {
            entries.append(large)
        }
        if operations.contains(where: { !$0.isChecked }) { entries.append(written) }
        if !operations.isDisjoint(with: [.readdirLarge, .list, .listRecursive, .listLong]) {
            entries.append(crowd)
        }
        if operations.contains(.gitStatus) { entries.append(repository) }
        if operations.contains(.pythonImports) { entries.append(modules) }
        return entries
    }

    /// One for each file, so that their contents differ.
    private static func seed(_ set: UInt64, _ index: Int) -> UInt64 {
        set << 32 | UInt64(index)
    }

    private static func files(
        _ size: Int, count: Int, in group: String, depth: Int, set: UInt64
    ) -> [RegularFile] {
        places(count, depth: depth, in: group).enumerated().map { index, place in
            RegularFile(path: place.file, size: size, seed: seed(set, index))
        }
    }

    private static func makeListing(set: UInt64) -> Listing {
        var generator = SplitMix64(seed: set)
        let files = (0..<1000).map { index in
            RegularFile(
                path: "listing/entries/entry\(index)",
                size: Int.random(in: 1...1024, using: &generator), seed: seed(set, index))
        }
        return Listing(path: "listing/entries", files: files)
    }

    private static func makeEpoch(set: UInt64) -> [RegularFile] {
        var generator = SplitMix64(seed: set)
        return (0..<2000).map { index in
            RegularFile(
                path: "epoch/class\(index / 100)/sample\(index % 100)",
                size: Int.random(in: 1024...16 * 1024, using: &generator), seed: seed(set, index))
        }
    }

    /// Paths of `depth` components, below the directory `group` if there is one.
    private static func places(
        _ count: Int, depth: Int, in group: String? = nil
    ) -> [(file: String, absent: String)] {
        let prefix = group.map { $0 + "/" } ?? ""
        let levels = depth - (group == nil ? 1 : 2)
        return (0..<count).map { index in
            let directory = prefix + directory(of: index, levels: levels)
            let number = levels > 0 ? index % 10 : index
            return (directory + "file\(number)", directory + "missing\(number)")
        }
    }

    /// Ten files to a directory and ten directories to a directory, however many levels: the top
    /// level takes what is left. Ends in "/" unless empty.
    private static func directory(of index: Int, levels: Int) -> String {
        var rest = index / 10
        var path = ""
        for level in 0..<levels {
            let isTop = level == levels - 1
            path = "dir\(isTop ? rest : rest % 10)/" + path
            rest /= 10
        }
        return path
    }
}
