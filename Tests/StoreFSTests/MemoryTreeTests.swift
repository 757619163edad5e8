import FuseSession
import SystemPackage
import Testing

@testable import StoreFS

@Suite struct MemoryTreeTests {
    private let caller = Caller(uid: 3, gid: 4)
    private let a = FileName("a")!
    private let b = FileName("b")!

    @Test func whatIsMadeIsFound() throws {
        var tree = MemoryTree()
        let made = try tree.apply(.make(a, in: 1, .file, permissions: 0o640), by: caller)
        let number = try #require(made)
        #expect(try tree.child(a, of: 1) == number)
        let attributes = try tree.node(number).attributes
        #expect(attributes.uid == 3 && attributes.gid == 4 && attributes.permissions == 0o640)
        #expect(throws: (any Error).self) {
            try tree.apply(.make(a, in: 1, .file, permissions: 0o640), by: caller)
        }
    }

    @Test func filesHaveALimit() throws {
        var tree = MemoryTree()
        let number = try #require(
            try tree.apply(.make(a, in: 1, .file, permissions: 0o640), by: caller))
        var changes = AttributeChanges()
        for size in [MemoryTree.maxFileSize + 1, .max, -1] {
            changes.size = size
            #expect(throws: Errno.fileTooLarge) {
                try tree.apply(.setAttributes(number, changes), by: caller)
            }
            #expect(throws: Errno.fileTooLarge) {
                try tree.apply(.write(number, [1], at: size), by: caller)
            }
        }
    }

    @Test func whatIsMadeBelowASetGroupDirectoryHasItsGroup() throws {
        var tree = MemoryTree()
        let directory = try #require(
            try tree.apply(.make(a, in: 1, .directory, permissions: 0o2755), by: caller))
        let other = Caller(uid: 5, gid: 6)
        for new in [NewNode.file, .directory] {
            let made = try tree.apply(.make(b, in: directory, new, permissions: 0o755), by: other)
            let attributes = try tree.node(try #require(made)).attributes
            #expect(attributes.uid == 5 && attributes.gid == 4)
            #expect((attributes.permissions & 0o2000 != 0) == (attributes.kind == .directory))
            try tree.apply(
                .remove(b, in: directory, isDirectory: attributes.kind == .directory), by: other)
        }
    }

    @Test func eachChangeHasAnotherTime() throws {
        var tree = MemoryTree()
        var times: [Timestamp] = []
        for round in 0..<100 {
            try tree.apply(
                round % 2 == 0
                    ? .make(a, in: 1, .directory, permissions: 0o755)
                    : .remove(a, in: 1, isDirectory: true), by: caller)
            times.append(try tree.node(1).attributes.modified)
        }
        #expect(Set(times.map { "\($0)" }).count == 100)
        #expect(times == times.sorted())
    }

    @Test func directoriesCountTheirs() throws {
        var tree = MemoryTree()
        let one = try #require(
            try tree.apply(.make(a, in: 1, .directory, permissions: 0o755), by: caller))
        #expect(try tree.node(1).attributes.links == 3)
        try tree.apply(.make(b, in: one, .directory, permissions: 0o755), by: caller)
        #expect(try tree.node(one).attributes.links == 3)
        try tree.apply(.rename(b, in: one, to: b, under: 1, .replacing), by: caller)
        #expect(try tree.node(one).attributes.links == 2)
        #expect(try tree.node(1).attributes.links == 4)
    }

    @Test func aFileOutlivesItsNamesUntilItIsDropped() throws {
        var tree = MemoryTree()
        let file = try #require(
            try tree.apply(.make(a, in: 1, .file, permissions: 0o644), by: caller))
        try tree.apply(.link(file, as: b, in: 1), by: caller)
        try tree.apply(.remove(a, in: 1, isDirectory: false), by: caller)
        tree.drop(file)
        #expect(try tree.node(file).attributes.links == 1)
        try tree.apply(.remove(b, in: 1, isDirectory: false), by: caller)
        #expect(try tree.node(file).attributes.links == 0)
        tree.drop(file)
        #expect(throws: (any Error).self) { try tree.node(file) }
    }

    @Test func writesGrowAFile() throws {
        var tree = MemoryTree()
        let file = try #require(
            try tree.apply(.make(a, in: 1, .file, permissions: 0o644), by: caller))
        try tree.apply(.write(file, [1, 2], at: 2), by: caller)
        try tree.apply(.write(file, [3], at: nil), by: caller)
        #expect(try tree.node(file).data.read(at: 0, count: 9) == [0, 0, 1, 2, 3])
        #expect(try tree.node(file).attributes.size == 5)
    }
}
