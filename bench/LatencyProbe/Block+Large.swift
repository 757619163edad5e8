import Glibc
import Syscall
import SystemPackage

/// Operations that need something done before the clock starts.
extension Block {
    /// Brings about what `run` starts from: names that are not there, files that are, or a mount
    /// whose page cache has nothing of what is read, while SOURCE's has all.
    /// - Parameter source: SOURCE itself, if `root` is a mount of it.
    func prepare(under root: CInt, source: CInt?) throws {
        switch operation {
        case .create:
            for call in calls where unlinkat(root, call.path, 0) != 0 && errno != ENOENT {
                throw failure(call)
            }
        case .unlink, .rename:
            for call in calls {
                let file = openat(root, call.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
                guard file >= 0 else { throw failure(call) }
                close(file)
                if operation == .rename, unlinkat(root, renamed(call), 0) != 0, errno != ENOENT {
                    throw failure(call)
                }
            }
        case .readSequential, .readRandom:
            guard let source else { return }
            try withFile(root, O_RDONLY) { _ = posix_fadvise($0, 0, 0, POSIX_FADV_DONTNEED) }
            // So that all read from memory.
            try withFile(source, O_RDONLY) { while read($0, buffer, LargeFile.chunk) > 0 {} }
        default:
            break
        }
    }

    /// All calls are on one file.
    private func withFile(_ root: CInt, _ flags: CInt, _ body: (CInt) throws -> Void) throws {
        guard let first = calls.first else { return }
        let file = openat(root, first.path, flags | O_CLOEXEC)
        guard file >= 0 else { throw failure(first) }
        defer { close(file) }
        try body(file)
    }

    func timeCreate(_ root: CInt, _ count: Int) -> ProbeError? {
        time(count) { call in
            let file = openat(root, call.path, O_WRONLY | O_CREAT | O_EXCL, 0o644)
            return file >= 0 && close(file) == 0
        }
    }

    func timeUnlink(_ root: CInt, _ count: Int) -> ProbeError? {
        time(count) { call in unlinkat(root, call.path, 0) == 0 }
    }

    func timeRename(_ root: CInt, _ count: Int) -> ProbeError? {
        time(count) { call in renameat(root, call.path, root, renamed(call)) == 0 }
    }

    /// The other name, which is as long as the path and a letter; valid until the next call.
    private func renamed(_ call: Call) -> UnsafeMutablePointer<CChar> {
        let name = buffer.assumingMemoryBound(to: CChar.self)
        let length = strlen(call.path)
        memcpy(name, call.path, length)
        name[length] = CChar(UInt8(ascii: "~"))
        name[length + 1] = 0
        return name
    }

    func timeRead(_ root: CInt, _ count: Int) throws -> ProbeError? {
        let buffer = buffer
        var failure: ProbeError?
        try withFile(root, O_RDONLY) { file in
            if operation == .readRandom { posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) }
            failure = time(count) { call in
                pread(file, buffer, call.expected.size, call.offset) == call.expected.size
            } isRight: { expected in
                lastWord(of: UnsafeRawBufferPointer(start: buffer, count: expected.size))
                    == expected.check
            }
        }
        return failure
    }

    func timeWrite(_ root: CInt, _ count: Int) throws -> ProbeError? {
        let buffer = buffer
        var failure: ProbeError?
        try withFile(root, O_WRONLY) { file in
            failure = time(count) { call in
                pwrite(file, buffer, call.expected.size, call.offset) == call.expected.size
            }
        }
        return failure
    }

    /// Each piece is read back at once, by the same open file.
    func timeWriteRead(_ root: CInt, _ count: Int) throws -> ProbeError? {
        let buffer = buffer
        var failure: ProbeError?
        try withFile(root, O_RDWR) { file in
            failure = time(count) { call in
                let size = call.expected.size
                return pwrite(file, buffer, size, call.offset) == size
                    && pread(file, buffer, size, call.offset) == size
            }
        }
        return failure
    }

    func timeReaddir(_ root: CInt, _ count: Int) -> ProbeError? {
        // As much as glibc's readdir(3) asks for.
        let buffer = UnsafeMutableRawBufferPointer(start: buffer, count: 32 * 1024)
        var entries = 0
        return time(count) { call in
            let directory = openat(root, call.path, O_RDONLY | O_DIRECTORY)
            guard directory >= 0 else { return false }
            entries = countEntries(of: directory, using: buffer)
            return close(directory) == 0
        } isRight: { expected in
            entries == expected.size
        }
    }

    /// But "." and "..", which not every file system lists; -1 with errno set.
    private func countEntries(
        of directory: CInt, using buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        var entries = 0
        do throws(Errno) {
            var isMore = true
            while isMore {
                isMore = try Syscall.readDirectory(
                    FileDescriptor(rawValue: directory), using: buffer
                ) { entry in
                    if entry.name[0] != CChar(UInt8(ascii: ".")) { entries += 1 }
                    return true
                }
            }
        } catch {
            errno = error.rawValue
            return -1
        }
        return entries
    }

    func timeCommand(_ command: Command, _ count: Int) -> ProbeError? {
        time(count) { call in command.run(on: call.path) }
    }
}
