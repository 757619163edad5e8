import Glibc
import Linearizability
import Syscall
import SystemPackage

/// Files that change behind the mount. Each worker changes its own, in bursts, and rests in between:
/// mostly until the bound is over and beyond, so that what is still old then is seen.
extension Worker {
    func behindStep(_ behind: BehindFiles) {
        switch behind.phase {
        case .changing(let left, let isBehind):
            if random.below(2) == 0 { return askBehind(behind) }
            behind.phase = .changing(left - 1, isBehind: isBehind)
            changeBehind(behind, isBehind: isBehind)
            if left == 1 { rest(behind, isBehind: isBehind) }
        case .resting(let until, let isSettled):
            if Syscall.monotonicNanoseconds() >= until { begin(behind, isSettled: isSettled) }
            askBehind(behind)
        }
    }

    /// Notes what the files have before anybody asks for them.
    func noteInitial(_ behind: BehindFiles) {
        let now = Syscall.monotonicNanoseconds()
        let (span, objects) = (Span(start: now, end: now), scene.behind[number])
        noteAttributes(behind, span, delay: 0)
        for subject in [objects.size, objects.data] {
            subject.journals[number].log(span, .write(0, delay: 0))
        }
    }

    // MARK: Bursts and rests

    private func begin(_ behind: BehindFiles, isSettled: Bool) {
        // The mount must show the present state then: what is asked of it cannot fail.
        if isSettled, random.below(2) == 0 {
            behind.phase = .changing(1 + random.below(8), isBehind: false)
            return
        }
        if isSettled, random.below(2) == 0 {
            scene.behind[number].silentUntil.store(.max, ordering: .relaxed)
        }
        behind.phase = .changing(1 + random.below(32), isBehind: true)
    }

    private func rest(_ behind: BehindFiles, isBehind: Bool) {
        let now = Syscall.monotonicNanoseconds()
        guard isBehind else {
            behind.phase = .resting(until: now, isSettled: true)
            return
        }
        let bound = behind.delay
        let objects = scene.behind[number]
        let wasSilent = objects.silentUntil.load(ordering: .relaxed) == .max
        if !wasSilent, random.below(5) < 2 {
            let pause = UInt64(random.below(Int(bound / 8) + 1))
            behind.phase = .resting(until: now + pause, isSettled: false)
            return
        }
        if wasSilent { objects.silentUntil.store(now + bound, ordering: .relaxed) }
        let more = UInt64(random.below(Int(bound / 2) + 1))
        behind.phase = .resting(until: now + bound + more, isSettled: true)
    }

    // MARK: Changes

    private func changeBehind(_ behind: BehindFiles, isBehind: Bool) {
        let root = isBehind ? behind.source : behind.mount
        let delay = isBehind ? behind.delay : 0
        switch random.below(100) {
        case ..<60: changeName(behind, root, delay)
        case ..<76: changeAttributes(behind, root, delay)
        case ..<84: changeSize(behind, root, delay)
        // Through the mount FUSE itself does not promise that much of data, see docs/coherence.md.
        default: if isBehind { changeData(behind, delay) }
        }
    }

    private func changeName(_ behind: BehindFiles, _ root: BehindRoot, _ delay: UInt64) {
        let index = random.below(4)
        let other = (index + 1 + random.below(3)) % 4
        let (directory, name) = (root.directory(of: index), BehindFiles.name(index, number))
        let (target, newName) = (root.directory(of: other), BehindFiles.name(other, number))
        let old = behind.inodes
        let outcome: (Span, Result<Void, Errno>)
        switch random.below(100) {
        case _ where old[index] == 0:
            var made: FileDescriptor?
            outcome = timed { () throws(Errno) in
                made = try Syscall.open(
                    at: directory, name, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            }
            if let made {
                defer { Syscall.close(made) }
                guard let status = try? Syscall.status(made) else {
                    return complain("no status of a file just made")
                }
                behind.inodes[index] = UInt64(status.st_ino)
            }
        case ..<40:
            outcome = timed { () throws(Errno) in try Syscall.remove(at: directory, name) }
            behind.inodes[index] = 0
        case ..<60 where old[other] != 0:
            outcome = timed { () throws(Errno) in
                try Syscall.rename(
                    at: directory, name, to: target, newName, flags: Syscall.renameExchange)
            }
            behind.inodes.swapAt(index, other)
        default:
            outcome = timed { () throws(Errno) in
                try Syscall.rename(at: directory, name, to: target, newName)
            }
            behind.inodes[other] = old[index]
            behind.inodes[index] = 0
        }
        if case .failure(let error) = outcome.1 {
            return complain("changing name \(index), of \(old), delay \(delay)", error)
        }
        for place in 0..<4 where old[place] != behind.inodes[place] {
            scene.behind[number].names[place].journals[number].log(
                outcome.0, .write(behind.inodes[place], delay: delay))
        }
    }

    private func changeAttributes(_ behind: BehindFiles, _ root: BehindRoot, _ delay: UInt64) {
        let (span, result) = timed { () throws(Errno) in
            if random.below(2) == 0 {
                let mode = mode_t(0o600 + random.below(0o200))
                guard fchmod(root[.attributes].rawValue, mode) == 0 else {
                    throw Errno(rawValue: errno)
                }
            } else {
                let time = timespec(
                    tv_sec: random.below(1_000_000_000), tv_nsec: random.below(1_000_000_000))
                try Syscall.changeTimes(
                    root[.attributes], access: Syscall.timeOmitted, modification: time)
            }
        }
        if case .failure(let error) = result { return complain("changing attributes", error) }
        noteAttributes(behind, span, delay: delay)
    }

    /// Nobody else changes them: so they are in SOURCE what the last change made them.
    private func noteAttributes(_ behind: BehindFiles, _ span: Span, delay: UInt64) {
        guard let status = try? Syscall.status(behind.source[.attributes]) else {
            return complain("no status of a file in SOURCE")
        }
        for (subject, value) in values(Status(status), .attributes, scene.behind[number]) {
            subject.journals[number].log(span, .write(value, delay: delay))
        }
    }

    /// What `status`, of `file`, tells of what changes.
    private func values(
        _ status: Status, _ file: BehindFiles.File, _ objects: BehindObjects
    ) -> [(BoundedSubject, UInt64)] {
        switch file {
        case .attributes:
            [
                (objects.mode, UInt64(status.mode)),
                (objects.modified, UInt64(bitPattern: status.modified)),
            ]
        case .size: [(objects.size, UInt64(bitPattern: status.size))]
        case .data: []
        }
    }

    private func changeSize(_ behind: BehindFiles, _ root: BehindRoot, _ delay: UInt64) {
        let size = Int64(random.below(4096))
        let (span, result) = timed { () throws(Errno) in
            try Syscall.truncate(root[.size], size: size)
        }
        if case .failure(let error) = result { return complain("changing a size", error) }
        scene.behind[number].size.journals[number].log(
            span, .write(UInt64(size), delay: delay))
    }

    private func changeData(_ behind: BehindFiles, _ delay: UInt64) {
        let tag = newTag()
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<BehindFiles.dataSize])
        for index in bytes.indices { bytes[index] = tag }
        let (span, result) = timed { () throws(Errno) in
            try Syscall.write(behind.source[.data], at: 0, from: UnsafeRawBufferPointer(bytes))
        }
        if case .failure(let error) = result { return complain("writing in SOURCE", error) }
        scene.behind[number].data.journals[number].log(
            span, .write(UInt64(tag), delay: delay))
    }

    // MARK: Questions

    private func askBehind(_ behind: BehindFiles) {
        let owner = random.below(scene.behind.count)
        let objects = scene.behind[owner]
        if objects.isSilent { return }
        switch random.below(100) {
        case ..<55: askName(behind, owner, objects)
        case ..<63: listBehind(behind)
        case ..<86: askAttributes(behind, owner, objects)
        default: askData(behind, owner, objects)
        }
    }

    private func askName(_ behind: BehindFiles, _ owner: Int, _ objects: BehindObjects) {
        let index = random.below(4)
        let (directory, name) = (
            behind.mount.directory(of: index), BehindFiles.name(index, owner)
        )
        let opens = random.below(4) == 0
        var opened: FileDescriptor?
        defer { if let opened { Syscall.close(opened) } }
        let (span, result) = timed { () throws(Errno) -> stat? in
            if !opens { return try Syscall.status(at: directory, name) }
            opened = try Syscall.open(at: directory, name, flags: O_RDONLY)
            return nil
        }
        let journal = objects.names[index].journals[number]
        switch result {
        case .success(let found):
            // What is open stays the same file.
            guard let status = found ?? opened.flatMap({ try? Syscall.status($0) }) else {
                return complain("fstat of a file just opened")
            }
            journal.log(span, .read(UInt64(status.st_ino)))
        case .failure(.noSuchFileOrDirectory): journal.log(span, .read(0))
        case .failure(let error): complain("a name of worker \(owner), behind", error)
        }
    }

    private func listBehind(_ behind: BehindFiles) {
        // A listing looks names up, too.
        if scene.behind.contains(where: \.isSilent) { return }
        let directory = random.below(Layout.behind.count)
        var listed = Set<String>()
        let (span, result) = timed { () throws(Errno) in
            let fd = try Syscall.open(
                at: behind.mount.directories[directory], ".", flags: O_RDONLY | O_DIRECTORY)
            defer { Syscall.close(fd) }
            while try Syscall.readDirectory(
                fd, using: buffer,
                { (entry) throws(Errno) in
                    listed.insert(String(cString: entry.name))
                    return true
                })
            {}
        }
        if case .failure(let error) = result { return complain("listing", error) }
        for (owner, objects) in scene.behind.enumerated() {
            for index in 0..<4 where Names.directory(of: index) == directory {
                let isPresent = listed.contains(BehindFiles.name(index, owner))
                objects.names[index].journals[number].log(span, .readPresence(isPresent))
            }
        }
    }

    private func askAttributes(_ behind: BehindFiles, _ owner: Int, _ objects: BehindObjects) {
        let file: BehindFiles.File = random.below(3) == 0 ? .size : .attributes
        let usesDescriptor = owner == number && random.below(2) == 0
        let (span, result) = timed { () throws(Errno) in
            try usesDescriptor
                ? Syscall.status(behind.mount[file])
                : Syscall.status(at: behind.mount.directories[0], file.name(owner))
        }
        switch result {
        case .success(let status):
            for (subject, value) in values(Status(status), file, objects) {
                subject.journals[number].log(span, .read(value))
            }
        case .failure(let error): complain("\(file) of worker \(owner), behind", error)
        }
    }

    private func askData(_ behind: BehindFiles, _ owner: Int, _ objects: BehindObjects) {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<BehindFiles.dataSize])
        let (span, result) = timed { () throws(Errno) in
            // One that stays open keeps its pages, one that is opened may drop them.
            if owner == number, random.below(2) == 0 {
                return try Syscall.read(behind.mount[.data], at: 0, into: bytes)
            }
            let fd = try Syscall.open(
                at: behind.mount.directories[0], BehindFiles.File.data.name(owner), flags: O_RDONLY)
            defer { Syscall.close(fd) }
            return try Syscall.read(fd, at: 0, into: bytes)
        }
        switch result {
        case .success(bytes.count):
            // SOURCE itself shows a write half-way.
            for tag in Set(bytes) { objects.data.journals[number].log(span, .read(UInt64(tag))) }
        case .success(let count): complain("read \(count) bytes of \(bytes.count), behind")
        case .failure(let error): complain("data of worker \(owner), behind", error)
        }
    }
}
