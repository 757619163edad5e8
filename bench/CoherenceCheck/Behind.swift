import Glibc
import Linearizability
import Synchronization
import Syscall
import SystemPackage

/// What one worker changes, in SOURCE or through the mount, and all ask for through the mount. Nobody
/// else changes it: so its owner knows each value, and in what order it had them.
final class BehindObjects: Sendable {
    /// What four names stand for, two in each directory of `Layout.behind`; 0: nothing.
    let names: [BoundedSubject]
    /// Of `BehindFiles.File.attributes`.
    let mode: BoundedSubject
    let modified: BoundedSubject
    /// Of the files of these names.
    let size: BoundedSubject
    let data: BoundedSubject
    /// Before this moment nobody is to ask: what changed must show also if nobody asked meanwhile.
    let silentUntil = Atomic<UInt64>(0)

    var subjects: [any Subject] { names + [mode, modified, size, data] }
    var isSilent: Bool {
        silentUntil.load(ordering: .relaxed) > Syscall.monotonicNanoseconds()
    }

    init(owner: Int, workers: Int) {
        names = (0..<4).map {
            BoundedSubject("name \($0) of worker \(owner), behind", workers: workers, from: 0)
        }
        func subject(_ name: String) -> BoundedSubject {
            BoundedSubject("\(name) of worker \(owner), behind", workers: workers)
        }
        mode = subject("mode")
        modified = subject("mtime")
        size = subject("size")
        data = subject("data")
    }
}

/// One way to the files of a worker: SOURCE, or the mount of it.
final class BehindRoot {
    let directories: [FileDescriptor]
    private var files: [FileDescriptor] = []

    /// - Parameter makes: the files, which must not exist.
    init(_ root: String, owner: Int, makes: Bool) throws(Errno) {
        var directories: [FileDescriptor] = []
        for name in Layout.behind {
            directories.append(
                try Syscall.open("\(root)/\(name)", flags: O_RDONLY | O_DIRECTORY))
        }
        self.directories = directories
        let flags = makes ? O_RDWR | O_CREAT | O_EXCL : O_RDWR
        for file in BehindFiles.File.allCases {
            files.append(
                try Syscall.open(at: directories[0], file.name(owner), flags: flags, mode: 0o600))
        }
    }

    subscript(_ file: BehindFiles.File) -> FileDescriptor { files[file.rawValue] }

    deinit { for fd in directories + files { Syscall.close(fd) } }

    func directory(of place: Names.Place) -> FileDescriptor {
        directories[Names.directory(of: place)]
    }
}

/// What a worker needs to change files behind the mount. `Worker+Behind.swift` says what it does.
final class BehindFiles {
    struct Options: Sendable {
        var source: String
        var mount: String
        /// In nanoseconds: a change is to show so long after its end at the latest.
        var delay: UInt64
    }

    let delay: UInt64
    let source: BehindRoot
    let mount: BehindRoot
    /// What the names stand for in SOURCE.
    var inodes = [UInt64](repeating: 0, count: 4)
    var phase = Phase.resting(until: 0, isSettled: false)

    enum Phase {
        /// So many changes are left to be made, in SOURCE or through the mount.
        case changing(Int, isBehind: Bool)
        /// `isSettled`: by then all that was changed has to show.
        case resting(until: UInt64, isSettled: Bool)
    }

    init(_ options: Options, owner: Int) throws(Errno) {
        delay = options.delay
        source = try BehindRoot(options.source, owner: owner, makes: true)
        try Syscall.truncate(source[.data], size: Int64(Self.dataSize))
        mount = try BehindRoot(options.mount, owner: owner, makes: false)
    }

    /// All bytes are the same, at first 0.
    static let dataSize = 512

    /// As long as those of `Layout.names`; no other worker has the same.
    static func name(_ index: Int, _ owner: Int) -> String {
        Layout.names[index].dropLast() + String(owner, radix: 16)
    }

    /// All in the first directory.
    enum File: Int, CaseIterable {
        /// Mode and mtime change.
        case attributes
        /// The size changes. Apart, because a truncation may set mtime twice, as ext4's does.
        case size
        /// The data changes, and the size stays.
        case data

        func name(_ owner: Int) -> String { "\(self)-\(owner)" }
    }
}
