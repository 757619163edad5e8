import CLinux
import Glibc
import SeededRandom
import Syscall
import SystemPackage

/// The calls of one round: paths as C strings, expectations, and room for one sample each, made
/// before the clock starts, so that nothing is allocated or counted by reference while it runs.
final class Block {
    struct Call {
        let path: UnsafeMutablePointer<CChar>
        /// Where in the file, of a call that reads or writes a piece of it.
        let offset: Int
        let expected: Expectation
    }

    let operation: Operation
    let calls: UnsafeMutableBufferPointer<Call>
    /// Aligned as O_DIRECT may demand.
    let buffer: UnsafeMutableRawPointer
    /// Nanoseconds per call of the last `run`.
    let samples: UnsafeMutableBufferPointer<UInt64>

    init(_ operation: Operation, on entries: [any Entry]) {
        self.operation = operation
        calls = .allocate(capacity: entries.count)
        _ = calls.initialize(
            fromContentsOf: entries.map { entry in
                Call(
                    path: Self.cString(entry.path), offset: (entry as? Piece)?.offset ?? 0,
                    expected: operation.expectation(of: entry))
            })
        samples = .allocate(capacity: entries.count)
        samples.initialize(repeating: 0)
        buffer = .allocate(byteCount: LargeFile.chunk, alignment: 4096)
        buffer.initializeMemory(as: UInt8.self, repeating: 0x5A, count: LargeFile.chunk)
    }

    deinit {
        for call in calls { call.path.deallocate() }
        calls.deallocate()
        samples.deallocate()
        buffer.deallocate()
    }

    private static func cString(_ string: String) -> UnsafeMutablePointer<CChar> {
        let characters = Array(string.utf8CString)
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: characters.count)
        copy.initialize(from: characters, count: characters.count)
        return copy
    }

    var count: Int { calls.count }

    func shuffle(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var calls = calls
        calls.shuffle(using: &generator)
    }

    /// Makes each of the first `limit` calls once under `root`, which must be the working directory,
    /// too.
    func run(under root: CInt, count limit: Int = .max) throws {
        let count = min(limit, calls.count)
        let failure =
            switch operation {
            case .stat: timeStat(root, count)
            case .statMissing: timeStatMissing(root, count)
            case .openReadClose, .openReadClose1K, .openReadClose16K, .openReadClose64K, .epoch:
                timeOpenReadClose(root, O_RDONLY, count)
            case .openReadCloseDirect:
                timeOpenReadClose(root, O_RDONLY | Syscall.openDirect, count)
            case .mmapRead: timeMmapRead(root, count)
            case .readlink: timeReadlink(root, count)
            case .getxattrAbsent: timeGetxattrAbsent(count)
            case .readdirStat: timeReaddirStat(root, count)
            case .create: timeCreate(root, count)
            case .unlink: timeUnlink(root, count)
            case .rename: timeRename(root, count)
            case .readSequential, .readRandom: try timeRead(root, count)
            case .writeSequential, .write4K: try timeWrite(root, count)
            case .writeRead4K: try timeWriteRead(root, count)
            case .readdirLarge: timeReaddir(root, count)
            case .list: timeCommand(Command(["ls"]), count)
            case .listRecursive: timeCommand(Command(["ls", "-R"]), count)
            case .listLong: timeCommand(Command(["ls", "-l"]), count)
            case .statfs: timeStatfs(count)
            case .gitStatus: timeCommand(Repository.status, count)
            case .pythonImports: timeCommand(PythonModules.importAll, count)
            }
        if let failure { throw failure }
    }

    /// The timed loop. `call` is on the clock and says whether it went through, `isRight` looks at
    /// the result afterwards. Ends with the first that is wrong.
    @inline(__always)
    func time(
        _ count: Int, _ call: (Call) -> Bool, isRight: (Expectation) -> Bool = { _ in true }
    ) -> ProbeError? {
        let calls = calls
        let samples = samples
        for index in 0..<count {
            let current = calls[index]
            errno = 0
            let start = Syscall.monotonicNanoseconds()
            let isThrough = call(current)
            samples[index] = Syscall.monotonicNanoseconds() &- start
            if !isThrough || !isRight(current.expected) { return failure(current) }
        }
        return nil
    }

    func failure(_ call: Call) -> ProbeError {
        let what = "\(operation.rawValue) of \(String(cString: call.path))"
        return errno == 0
            ? ProbeError("\(what): not the result that the data set demands")
            : ProbeError(errnoOf: what)
    }

    private func timeStat(_ root: CInt, _ count: Int) -> ProbeError? {
        var status = stat()
        return time(count) { call in
            fstatat(root, call.path, &status, 0) == 0
        } isRight: { expected in
            status.st_size == expected.size
        }
    }

    private func timeStatMissing(_ root: CInt, _ count: Int) -> ProbeError? {
        var status = stat()
        return time(count) { call in
            fstatat(root, call.path, &status, 0) == -1 && errno == ENOENT
        }
    }

    private func timeOpenReadClose(_ root: CInt, _ flags: CInt, _ count: Int) -> ProbeError? {
        let buffer = buffer
        return time(count) { call in
            let file = openat(root, call.path, flags)
            guard file >= 0 else { return false }
            let size = read(file, buffer, call.expected.size)
            return close(file) == 0 && size == call.expected.size
        } isRight: { expected in
            lastWord(of: UnsafeRawBufferPointer(start: buffer, count: expected.size))
                == expected.check
        }
    }

    private func timeMmapRead(_ root: CInt, _ count: Int) -> ProbeError? {
        var folded: UInt64 = 0
        return time(count) { call in
            let file = openat(root, call.path, O_RDONLY)
            guard file >= 0 else { return false }
            let size = call.expected.size
            guard let map = mmap(nil, size, PROT_READ, MAP_SHARED, file, 0), map != MAP_FAILED
            else { return false }
            folded = touchEachPage(of: UnsafeRawBufferPointer(start: map, count: size))
            let isUnmapped = munmap(map, size) == 0
            return close(file) == 0 && isUnmapped
        } isRight: { expected in
            folded == expected.check
        }
    }

    private func timeReadlink(_ root: CInt, _ count: Int) -> ProbeError? {
        let buffer = buffer
        let target = buffer.assumingMemoryBound(to: CChar.self)
        return time(count) { call in
            readlinkat(root, call.path, target, Int(PATH_MAX)) == call.expected.size
        } isRight: { expected in
            lastWord(of: UnsafeRawBufferPointer(start: buffer, count: expected.size))
                == expected.check
        }
    }

    /// getxattr(2) takes no directory, only the working one.
    private func timeGetxattrAbsent(_ count: Int) -> ProbeError? {
        let buffer = buffer
        return time(count) { call in
            // Few bytes: the kernel allocates and clears as many as are asked for.
            getxattr(call.path, "user.absent", buffer, 256) == -1 && errno == ENODATA
        }
    }

    /// statvfs(3) is statfs(2), and takes no directory, either.
    private func timeStatfs(_ count: Int) -> ProbeError? {
        var status = statvfs()
        return time(count) { call in
            statvfs(call.path, &status) == 0
        } isRight: { _ in
            status.f_blocks > 0
        }
    }

    private func timeReaddirStat(_ root: CInt, _ count: Int) -> ProbeError? {
        // As much as glibc's readdir(3) asks for.
        let entries = UnsafeMutableRawBufferPointer(start: buffer, count: 32 * 1024)
        var found = Expectation(size: 0, check: 0)
        return time(count) { call in
            let directory = openat(root, call.path, O_RDONLY | O_DIRECTORY)
            guard directory >= 0 else { return false }
            let listed = statEach(of: directory, using: entries)
            guard close(directory) == 0, let listed else { return false }
            found = listed
            return true
        } isRight: { expected in
            found.size == expected.size && found.check == expected.check
        }
    }

    /// Reads the whole directory, and each entry's attributes. Returns the number of entries and
    /// their sizes' sum, or nil with errno set.
    private func statEach(
        of directory: CInt, using buffer: UnsafeMutableRawBufferPointer
    ) -> Expectation? {
        var status = stat()
        var entries = 0
        var total: UInt64 = 0
        do throws(Errno) {
            var isMore = true
            while isMore {
                isMore = try Syscall.readDirectory(
                    FileDescriptor(rawValue: directory), using: buffer
                ) { (entry) throws(Errno) in
                    // Only "." and ".." begin so.
                    if entry.name[0] == CChar(UInt8(ascii: ".")) { return true }
                    guard fstatat(directory, entry.name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
                        throw Errno(rawValue: errno)
                    }
                    entries += 1
                    total &+= UInt64(status.st_size)
                    return true
                }
            }
        } catch {
            errno = error.rawValue
            return nil
        }
        return Expectation(size: entries, check: total)
    }
}
