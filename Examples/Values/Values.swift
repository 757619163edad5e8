import FuseSession
import StoreFS
import SystemPackage

/// Values in memory as files, read-only: `values MOUNTPOINT NAME=TEXT…`. Nothing ever changes, so the
/// kernel asks for everything once.
struct Values: Store {
    let files: [(name: FileName, bytes: [UInt8])]

    /// The root is 0, and each file has its number in `files` plus 1.
    let root = 0
    let isReadOnly = true

    private func attributes(_ node: Int) -> NodeAttributes {
        node == root
            ? NodeAttributes(.directory, inode: 1, permissions: 0o555)
            : NodeAttributes(
                .file, inode: UInt64(node) + 1, permissions: 0o444,
                size: Int64(files[node - 1].bytes.count))
    }

    func attributes(of node: Int) async throws(Errno) -> Answer<NodeAttributes> {
        Answer(attributes(node), kept: .forever)
    }

    func find(_ name: FileName, in directory: Int) async throws(Errno) -> Answer<Found<Int>?> {
        let index = files.firstIndex { $0.name == name }
        return Answer(index.map { Found($0 + 1, attributes($0 + 1)) }, kept: .forever)
    }

    func list(_ directory: Int) async throws(Errno) -> Answer<[Listed]> {
        let entries = files.indices.map {
            Listed(files[$0].name, inode: UInt64($0) + 2, kind: .file)
        }
        return Answer(entries, kept: .forever)
    }

    func read(_ file: Int, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]> {
        Answer(Array(files[file - 1].bytes.dropFirst(Int(offset)).prefix(count)), kept: .forever)
    }
}

@main
struct Main {
    static func main() {
        let files = CommandLine.arguments.dropFirst(2).compactMap { argument in
            let parts = argument.split(separator: "=", maxSplits: 1)
            return parts.count == 2
                ? FileName(String(parts[0])).map { (name: $0, bytes: Array(parts[1].utf8)) } : nil
        }
        StoreMount.serve(Values(files: files), at: CommandLine.arguments.dropFirst().first)
    }
}
