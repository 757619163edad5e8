import Glibc
import Linearizability
import SystemPackage

extension Worker {
    func attributesStep() {
        let journal = scene.attributes.journals[number]
        let file = Layout.File.attributes
        let stamp = Self.stampClock()
        let change: FileAttributes.Operation
        let outcome: (Span, Result<Void, Errno>)
        switch random.below(100) {
        case ..<60: return statusOfFile(file, journal)
        case ..<72:
            let size = Int64(random.below(4096))
            change = .truncated(to: size)
            outcome = timed { () throws(Errno) in try client.truncate(file, to: size) }
        case ..<82:
            let count = client.appendsAtOnce ? 1 + random.below(64) : 1
            change = .appended(Int64(count))
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            outcome = timed { () throws(Errno) in try client.append(file, bytes) }
        case ..<92:
            let mode = UInt32(0o600 + random.below(0o200))
            change = .modeSet(mode)
            outcome = timed { () throws(Errno) in try client.changeMode(of: file, to: mode) }
        default:
            let owner = UInt32(random.below(8))
            change = .ownerSet(owner)
            outcome = timed { () throws(Errno) in try client.changeOwner(of: file, to: owner) }
        }
        switch outcome.1 {
        case .success:
            journal.log(outcome.0, change)
            scene.attributesChanged.journals[number].log(
                outcome.0, .change(notBefore: stamp))
        case .failure(let error): complain("\(change)", error)
        }
    }

    private func statusOfFile(
        _ file: Layout.File, _ journal: Journal<FileAttributes.Operation>
    ) {
        let (span, result) = timed { () throws(Errno) in try client.status(of: file) }
        switch result {
        case .success(let status):
            if client.readsStatusAtOnce {
                journal.log(
                    span,
                    .status(.init(size: status.size, mode: status.mode, owner: status.owner)))
            } else {
                journal.log(span, .size(status.size))
                journal.log(span, .mode(status.mode))
                journal.log(span, .owner(status.owner))
            }
            scene.attributesChanged.journals[number].log(span, .read(status.changed))
        case .failure(let error): complain("stat of \(file.name)", error)
        }
    }

    func dataStep() {
        let file: Layout.File =
            random.below(2) == 0 && !client.lacking.contains(.direct) ? .direct : .buffered
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<file.size])
        let subjects =
            file == .direct
            ? [scene.directFirst, scene.directLast, scene.directAny] : [scene.buffered]
        if random.below(100) < 40 {
            let tag = newTag()
            memset(bytes.baseAddress!, Int32(tag), bytes.count)
            let (span, result) = timed { () throws(Errno) in
                try client.write(file, UnsafeRawBufferPointer(bytes))
            }
            if case .failure(let error) = result { return complain("writing", error) }
            for subject in subjects { subject.journals[number].log(span, .write(tag)) }
            return
        }
        let anew = file == .buffered && random.below(2) == 0
        let (span, result) = timed { () throws(Errno) in
            anew ? try client.readAnew(file, into: bytes) : try client.read(file, into: bytes)
        }
        switch result {
        case .success(file.size):
            if file == .direct {
                scene.directFirst.journals[number].log(span, .read(bytes[0]))
                scene.directLast.journals[number].log(span, .read(bytes[bytes.count - 1]))
            }
            let any = (file == .direct ? scene.directAny : scene.buffered).journals[number]
            if isWhole(bytes) { return any.log(span, .read(bytes[0])) }
            mixedReads += 1
            for tag in Set(bytes) { any.log(span, .read(tag)) }
        case .success(let count):
            complain("read \(count) bytes of \(file.name), which has \(file.size)")
        case .failure(let error): complain("reading", error)
        }
    }

    func extendedStep() {
        let journal = scene.extended.journals[number]
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Layout.extendedSize])
        if random.below(100) < 40 {
            let tag = newTag()
            memset(bytes.baseAddress!, Int32(tag), bytes.count)
            let (span, result) = timed { () throws(Errno) in
                try client.setExtendedAttribute(
                    of: .extended, to: UnsafeRawBufferPointer(bytes))
            }
            if case .failure(let error) = result { return complain("setxattr", error) }
            return journal.log(span, .write(tag))
        }
        let (span, result) = timed { () throws(Errno) in
            try client.extendedAttribute(of: .extended, into: bytes)
        }
        switch result {
        case .success(Layout.extendedSize):
            // Set and read in one piece by every file system.
            if !isWhole(bytes) { complain("torn extended attribute") }
            journal.log(span, .read(bytes[0]))
        case .success(let count): complain("extended attribute of \(count) bytes")
        case .failure(let error): complain("getxattr", error)
        }
    }

    /// True if all bytes are the same.
    private func isWhole(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        memcmp(bytes.baseAddress!, bytes.baseAddress! + 1, bytes.count - 1) == 0
    }
}
