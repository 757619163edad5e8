import Linearizability
import Synchronization

/// All objects under test.
final class Scene: Sendable {
    let files: NamesSubject
    /// The same files by their link counts alone, where these are judged apart.
    let links: NamesSubject
    let directories: NamesSubject
    let attributes: AttributesSubject
    /// The first and the last byte of the file that is read past the page cache. Single bytes,
    /// because SOURCE itself reads a page while it is half written.
    let directFirst: ValueSubject
    let directLast: ValueSubject
    /// Every byte of it.
    let directAny: ValueSubject
    let buffered: ValueSubject
    let extended: ValueSubject
    let attributesChanged: ClockSubject
    /// mtime and ctime of the directories of `Layout`.
    let directoryModified: [ClockSubject]
    let directoryChanged: [ClockSubject]
    /// Of each worker; empty if nothing changes behind the mount.
    let behind: [BehindObjects]

    let subjects: [any Subject]
    /// The last tag that was written anywhere.
    let tags = Atomic<UInt>(0)

    init(workers: Int, owner: UInt32, changesBehind: Bool, lacking: Set<Ability>) {
        let nothing = Names.State(repeating: 0)
        let prepare: @Sendable ([Call<Names.Operation>]) -> [Call<Names.Operation>] = { calls in
            let calls = Names.expanded(calls)
            return lacking.contains(.replacing) ? Names.withoutGaps(calls) : calls
        }
        files = .linearizable(
            "files", Names(.files), workers: workers, from: nothing, prepare: prepare)
        links = .linearizable("links", Names(.files), workers: workers, from: nothing)
        directories = .linearizable(
            "directories", Names(.directories), workers: workers, from: nothing,
            prepare: prepare)
        attributes = .linearizable(
            "attributes", FileAttributes(), workers: workers,
            from: .init(size: 0, mode: Layout.initialMode, owner: owner))
        directFirst = .linearizable(
            "first byte, direct", Register(), workers: workers, from: 0)
        directLast = .linearizable("last byte, direct", Register(), workers: workers, from: 0)
        directAny = .regular("all bytes, direct", workers: workers)
        buffered = .regular("all bytes, buffered", workers: workers)
        extended = .linearizable("extended attribute", Register(), workers: workers, from: 0)
        attributesChanged = .clock("ctime of attributes", workers: workers)
        directoryModified = Layout.directories.map { .clock("mtime of \($0)", workers: workers) }
        directoryChanged = Layout.directories.map { .clock("ctime of \($0)", workers: workers) }
        behind = (0..<(changesBehind ? workers : 0)).map {
            BehindObjects(owner: $0, workers: workers)
        }
        let values = [directFirst, directLast, directAny, buffered, extended]
        let clocks = directoryModified + directoryChanged + [attributesChanged]
        subjects =
            [files, links, directories, attributes] + values + clocks
            + behind.flatMap(\.subjects)
    }
}
