import FuseSession
import StoreFS
import SystemPackage

/// One file that never changes.
struct Greeting: Store {
    let root = 0
    let isReadOnly = true
    private let text = Array("Hello\n".utf8)

    private func attributes(_ node: Int) -> NodeAttributes {
        node == root
            ? NodeAttributes(.directory, inode: 1, permissions: 0o555)
            : NodeAttributes(.file, inode: 2, permissions: 0o444, size: Int64(text.count))
    }

    func attributes(of node: Int) async throws(Errno) -> Answer<NodeAttributes> {
        Answer(attributes(node), kept: .forever)
    }

    func find(_ name: FileName, in directory: Int) async throws(Errno) -> Answer<Found<Int>?> {
        let isThere = name.bytes == Array("greeting".utf8)
        return Answer(isThere ? Found(1, attributes(1)) : nil, kept: .forever)
    }

    func list(_ directory: Int) async throws(Errno) -> Answer<[Listed]> {
        let entry = FileName("greeting").map { Listed($0, inode: 2, kind: .file) }
        return Answer(entry.map { [$0] } ?? [], kept: .forever)
    }

    func read(_ file: Int, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]> {
        Answer(Array(text.dropFirst(Int(offset)).prefix(count)), kept: .forever)
    }
}

StoreMount.serve(Greeting(), at: CommandLine.arguments.dropFirst().first)
