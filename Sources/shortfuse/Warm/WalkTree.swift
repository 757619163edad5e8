import Glibc
import MountRegistry
import Synchronization
import Syscall
import SystemPackage

/// A directory of a walk, known by its name in the one above it: however deep it is, that takes
/// neither a descriptor nor a path.
final class WalkDirectory: @unchecked Sendable {
    // Safe to share: `parent` changes only in deinit, when nobody else has this.
    private(set) var parent: WalkDirectory?
    /// NUL-terminated; that of the start is empty.
    let name: [CChar]
    fileprivate let kept = Mutex<Descriptor?>(nil)

    init(parent: WalkDirectory?, name: [CChar]) {
        self.parent = parent
        self.name = name
    }

    deinit {
        // One after the other: each in the deinit of the one below would overflow the stack.
        var ancestor = parent
        parent = nil
        while isKnownUniquelyReferenced(&ancestor) {
            let next = ancestor?.parent
            ancestor?.parent = nil
            ancestor = next
        }
    }
}

/// A tree that is walked from one directory on, on one file system, with few descriptors.
final class WalkTree: Sendable {
    /// `st_dev` of all its files.
    let device: dev_t
    let root = WalkDirectory(parent: nil, name: [0])
    private let start: Descriptor
    private let path: [UInt8]
    /// Those whose descriptors are kept for the ones below, the oldest first.
    private let keepers = Mutex<[WalkDirectory]>([])

    /// More: fewer directories of a deep and branching tree are opened again.
    private static let keptAtMost = 64

    /// - Parameters:
    ///   - start: an open directory, also an `O_PATH` one.
    ///   - path: what messages call it.
    init(start: Descriptor, device: dev_t, path: [UInt8]) {
        self.start = start
        self.device = device
        self.path = path
    }

    /// Opens a directory for reading; never another one that a symlink, put in its place meanwhile,
    /// leads to.
    /// - Throws: also `EXDEV` if it is on another file system by now.
    func open(_ directory: WalkDirectory) throws(Errno) -> Descriptor {
        // From the nearest one that is open, step by step.
        var steps: [WalkDirectory] = []
        var nearest = start
        var ancestor: WalkDirectory? = directory
        while let current = ancestor, current !== root {
            if let kept = current.kept.withLock({ $0 }) {
                nearest = kept
                break
            }
            steps.append(current)
            ancestor = current.parent
        }
        for step in steps.dropFirst().reversed() {
            nearest = try Self.open(step.name, at: nearest, flags: Syscall.openPath)
        }
        if !steps.isEmpty, let parent = directory.parent { keep(nearest, for: parent) }
        let name = steps.first?.name ?? Array(".".utf8CString)
        let opened = try Self.open(name, at: nearest, flags: O_RDONLY)
        guard try Syscall.status(opened.fd).st_dev == device else { throw .improperLink }
        return opened
    }

    private static func open(
        _ name: [CChar], at directory: Descriptor, flags: Int32
    ) throws(Errno) -> Descriptor {
        Descriptor(
            owning: try Syscall.open(
                at: directory.fd, name, flags: flags | O_DIRECTORY | O_NOFOLLOW))
    }

    /// Keeps `descriptor` for a while: directories in this one are opened from it.
    func keep(_ descriptor: Descriptor, for directory: WalkDirectory) {
        guard directory !== root else { return }
        let isNew = directory.kept.withLock { kept in
            defer { kept = kept ?? descriptor }
            return kept == nil
        }
        guard isNew else { return }
        let oldest = keepers.withLock { keepers -> WalkDirectory? in
            keepers.append(directory)
            return keepers.count > Self.keptAtMost ? keepers.removeFirst() : nil
        }
        oldest?.kept.withLock { $0 = nil }
    }

    /// The path of `directory`, or of `name` in it: for messages.
    func path(of name: [CChar]? = nil, in directory: WalkDirectory) -> [UInt8] {
        var names = name.map { [$0] } ?? []
        var ancestor: WalkDirectory? = directory
        while let current = ancestor, current !== root {
            names.append(current.name)
            ancestor = current.parent
        }
        return names.reversed().reduce(into: path) { path, name in
            if path.last != UInt8(ascii: "/") { path.append(UInt8(ascii: "/")) }
            path += name.dropLast().map { UInt8(bitPattern: $0) }
        }
    }
}
