import Glibc
import Linearizability
import SystemPackage

extension Worker {
    /// Files held at once: more hide FORGET, which needs files that nobody holds.
    private static let held = 3

    private func place(_ kind: Names.Kind, _ index: Names.Place) -> Place {
        Place(directory: directory(kind, index), name: names[index])
    }

    private func directory(_ kind: Names.Kind, _ index: Names.Place) -> Int {
        (kind == .files ? 0 : 2) + Names.directory(of: index)
    }

    private func randomPair() -> (Int, Int) {
        let one = random.below(4)
        return (one, (one + 1 + random.below(3)) % 4)
    }

    func filesStep() {
        let journal = scene.files.journals[number]
        let index = random.below(4)
        switch random.below(100) {
        case ..<34: look(index, journal)
        case ..<44: hold(index, journal)
        case ..<53: statusOfHeld(journal)
        case ..<58: readHeld()
        case ..<63:
            if client.heldCount > 0 { client.letGo(held: random.below(client.heldCount)) }
        case ..<72: create(index, journal)
        case ..<80:
            change(.files, removing: index, journal)
            // A count that went down too far shows before anybody asks for it.
            if random.below(2) == 0 { link(to: index, journal) }
        case ..<88: rename(.files, journal)
        case ..<91: exchange(.files, journal)
        case ..<97: link(to: index, journal)
        default: list(.files, journal)
        }
    }

    func directoriesStep() {
        let journal = scene.directories.journals[number]
        let index = random.below(4)
        switch random.below(100) {
        case ..<30: exists(index, journal)
        case ..<60: statusOfDirectory(.directories, journal)
        case ..<66: statusOfDirectory(.files, scene.files.journals[number])
        case ..<79:
            let place = place(.directories, index)
            let stamp = Self.stampClock()
            let (span, result) = timed { () throws(Errno) in try client.makeDirectory(place) }
            switch result {
            case .success:
                journal.log(span, .created(index, 1))
                changed(.directories, [index], span, stamp)
            case .failure(.fileExists): journal.log(span, .exists(index, true))
            case .failure(let error): complain("making a directory", error)
            }
        case ..<87: change(.directories, removing: index, journal)
        case ..<95: rename(.directories, journal)
        case ..<97: exchange(.directories, journal)
        default: list(.directories, journal)
        }
    }

    /// Asks for one of many names that nobody ever makes: they fill the maps, so that others are
    /// evicted and their elements used again.
    func missingStep() {
        let number = random.below(512)
        let name = number % 2 == 0 ? "x\(number)" : String(repeating: "x", count: 40) + "\(number)"
        let directory = random.below(Layout.directories.count)
        let (_, result) = name.withCString { name in
            timed { () throws(Errno) in
                try client.exists(Place(directory: directory, name: name))
            }
        }
        switch result {
        case .success: complain("'\(name)', which was never made, exists")
        case .failure(.noSuchFileOrDirectory): break
        case .failure(let error): complain("stat of a missing name", error)
        }
    }

    // MARK: Questions

    /// What a name that is not there is answered with.
    private func isGone(_ error: Errno) -> Bool {
        error == .noSuchFileOrDirectory
            || error == .staleNFSFileHandle && client.lacking.contains(.replacing)
    }

    private func look(_ index: Int, _ journal: Journal<Names.Operation>) {
        let place = place(.files, index)
        let (span, result) = timed { () throws(Errno) in try client.status(of: place) }
        switch result {
        case .success(let status):
            if client.looksUpAtOnce {
                journal.log(span, .entry(index, status.inode, links: status.links))
            } else {
                journal.log(span, .seen(index, status.inode))
                logLinks(span, status.inode, status.links)
            }
        case .failure(let error) where isGone(error): journal.log(span, .seen(index, 0))
        case .failure(let error): complain("stat of a file", error)
        }
    }

    private func exists(_ index: Int, _ journal: Journal<Names.Operation>) {
        let place = place(.directories, index)
        let (span, result) = timed { () throws(Errno) in try client.exists(place) }
        switch result {
        case .success: journal.log(span, .exists(index, true))
        case .failure(let error) where isGone(error): journal.log(span, .exists(index, false))
        case .failure(let error): complain("stat of a directory", error)
        }
    }

    private func hold(_ index: Int, _ journal: Journal<Names.Operation>) {
        if client.heldCount >= Self.held { client.letGo(held: random.below(client.heldCount)) }
        let place = place(.files, index)
        let (span, result) = timed { () throws(Errno) in try client.open(place) }
        switch result {
        case .success:
            if let inode = settle(holding: true) { journal.log(span, .seen(index, inode)) }
        case .failure(let error) where isGone(error): journal.log(span, .seen(index, 0))
        case .failure(let error): complain("opening a file", error)
        }
    }

    private func settle(holding: Bool) -> UInt64? {
        do throws(Errno) {
            return try client.settle(holding: holding)
        } catch {
            complain("fstat of a file just opened", error)
            return nil
        }
    }

    private func statusOfHeld(_ journal: Journal<Names.Operation>) {
        guard client.heldCount > 0 else { return }
        let held = random.below(client.heldCount)
        let (span, result) = timed { () throws(Errno) in try client.status(held: held) }
        switch result {
        case .success(let status):
            if status.inode != client.inode(held: held) {
                complain(
                    "inode \(client.inode(held: held)), held open, is now \(status.inode)")
            }
            logLinks(span, status.inode, status.links)
        // Whoever holds a file has it, whatever becomes of its names.
        case .failure(let error): complain("fstat of a file that is held", error)
        }
    }

    /// The data of a file is its own, whatever name it was opened by and has since lost; or none yet,
    /// since it gets it a moment after it was made.
    private func readHeld() {
        guard client.heldCount > 0 else { return }
        let held = random.below(client.heldCount)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<16])
        let (_, result) = timed { () throws(Errno) in
            try client.read(held: held, into: bytes)
        }
        switch result {
        case .success(0): break
        case .success(8):
            let inode = client.inode(held: held)
            let data = bytes.load(as: UInt64.self)
            if data != inode { complain("inode \(inode) has the data of inode \(data)") }
        case .success(let count): complain("read \(count) bytes of a file that has 8")
        case .failure(let error): complain("reading a file that is held", error)
        }
    }

    private func statusOfDirectory(_ kind: Names.Kind, _ journal: Journal<Names.Operation>) {
        let index = random.below(4)
        let directory = directory(kind, index)
        let (span, result) = timed { () throws(Errno) in
            try client.statusOfDirectory(directory)
        }
        switch result {
        case .success(let status):
            scene.directoryModified[directory].journals[number].log(
                span, .read(status.modified))
            scene.directoryChanged[directory].journals[number].log(span, .read(status.changed))
            if kind == .directories, client.readsStatusAtOnce {
                journal.log(
                    span,
                    .parentLinks(directory: Names.directory(of: index), count: status.links))
            }
        case .failure(let error): complain("stat of a parent", error)
        }
    }

    private func list(_ kind: Names.Kind, _ journal: Journal<Names.Operation>) {
        let index = random.below(4)
        let directory = directory(kind, index)
        var listed: UInt8 = 0
        let (span, result) = timed { () throws(Errno) in
            try client.list(directory) { name in
                for place in Names.places where strcmp(name, names[place]) == 0 {
                    listed |= 1 << UInt8(place)
                }
            }
        }
        switch result {
        case .success:
            journal.log(
                span, .listed(directory: Names.directory(of: index), places: listed))
        case .failure(let error): complain("listing", error)
        }
    }

    /// That a file had so many names.
    private func logLinks(_ span: Span, _ inode: UInt64, _ count: UInt64) {
        guard !client.lacking.contains(.links) else { return }
        switch client.links {
        case .withNames:
            scene.files.journals[number].log(span, .links(inode, count: count))
        case .apart: scene.links.journals[number].log(span, .links(inode, count: count))
        }
    }

    /// A change of names, for all who judge by it.
    private func logChange(
        _ kind: Names.Kind, _ span: Span, _ operation: Names.Operation,
        _ journal: Journal<Names.Operation>
    ) {
        journal.log(span, operation)
        if kind == .files { scene.links.journals[number].log(span, operation) }
    }

    // MARK: Changes

    private func create(_ index: Int, _ journal: Journal<Names.Operation>) {
        let place = place(.files, index)
        let stamp = Self.stampClock()
        let (span, result) = timed { () throws(Errno) in try client.create(place) }
        switch result {
        case .success:
            guard let inode = settle(holding: false) else { return }
            logChange(.files, span, .created(index, inode), journal)
            changed(.files, [index], span, stamp)
        case .failure(.fileExists): journal.log(span, .exists(index, true))
        case .failure(let error): complain("creating a file", error)
        }
    }

    private func change(
        _ kind: Names.Kind, removing index: Int, _ journal: Journal<Names.Operation>
    ) {
        let place = place(kind, index)
        let stamp = Self.stampClock()
        let (span, result) = timed { () throws(Errno) in
            if kind == .files {
                try client.remove(place)
            } else {
                try client.removeDirectory(place)
            }
        }
        switch result {
        case .success:
            logChange(kind, span, .removed(index), journal)
            changed(kind, [index], span, stamp)
        case .failure(.noSuchFileOrDirectory): journal.log(span, .exists(index, false))
        case .failure(let error): complain("removing", error)
        }
    }

    private func rename(_ kind: Names.Kind, _ journal: Journal<Names.Operation>) {
        guard !client.lacking.contains(.renaming) else { return }
        let (from, to) = randomPair()
        let (old, new) = (place(kind, from), place(kind, to))
        let stamp = Self.stampClock()
        let (span, result) = timed { () throws(Errno) in
            try client.rename(old, new, exchanging: false)
        }
        switch result {
        case .success:
            logChange(kind, span, .moved(from, to), journal)
            // Two names of one file: nothing happens.
            if kind == .directories { changed(kind, [from, to], span, stamp) }
        case .failure(.noSuchFileOrDirectory): journal.log(span, .exists(from, false))
        case .failure(let error): complain("renaming", error)
        }
    }

    private func exchange(_ kind: Names.Kind, _ journal: Journal<Names.Operation>) {
        guard client.lacking.isDisjoint(with: [.exchange, .renaming]) else { return }
        let (one, other) = randomPair()
        let (old, new) = (place(kind, one), place(kind, other))
        let (span, result) = timed { () throws(Errno) in
            try client.rename(old, new, exchanging: true)
        }
        switch result {
        case .success: logChange(kind, span, .exchanged(one, other), journal)
        case .failure(.noSuchFileOrDirectory): journal.log(span, .notBoth(one, other))
        case .failure(let error): complain("exchanging", error)
        }
    }

    private func link(to index: Int, _ journal: Journal<Names.Operation>) {
        guard client.heldCount > 0, !client.lacking.contains(.links) else { return }
        let held = random.below(client.heldCount)
        let inode = client.inode(held: held)
        let place = place(.files, index)
        let stamp = Self.stampClock()
        let (span, result) = timed { () throws(Errno) in
            try client.link(held: held, to: place)
        }
        switch result {
        case .success:
            logChange(.files, span, .linked(inode, index), journal)
            changed(.files, [index], span, stamp)
        case .failure(.fileExists): journal.log(span, .exists(index, true))
        case .failure(.noSuchFileOrDirectory):
            if client.links == .withNames {
                journal.log(span, .linkedNothing(inode, index))
            } else {
                logLinks(span, inode, 0)
            }
        case .failure(let error): complain("linking", error)
        }
    }

    /// Notes that the directories of `places` have new stamps.
    private func changed(
        _ kind: Names.Kind, _ places: [Names.Place], _ span: Span, _ stamp: Int64
    ) {
        for place in places {
            let directory = directory(kind, place)
            for clock in [scene.directoryModified, scene.directoryChanged] {
                clock[directory].journals[number].log(span, .change(notBefore: stamp))
            }
        }
    }
}
