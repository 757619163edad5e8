import CFuse3
import Glibc
import SystemPackage
import Testing

@testable import FuseSession

/// Data of a WRITE that is in a descriptor, as it is where requests come in by splice(2).
@Suite struct WriteSourceTests {
    private func file(_ content: String) throws -> FileDescriptor {
        var template = Array("/tmp/write-source.XXXXXX".utf8CString)
        let fd = mkstemp(&template)
        try #require(fd >= 0)
        unlink(template)
        try #require(write(fd, content, content.utf8.count) == content.utf8.count)
        return FileDescriptor(rawValue: fd)
    }

    @Test(arguments: [(false, "hello, world", "world, world"), (true, "hello", "helloworld")])
    func writesOrAppends(_ appends: Bool, _ before: String, _ after: String) throws {
        let data = try file("world")
        defer { try? data.close() }
        let target = try file(before)
        defer { try? target.close() }
        var vector = cfuse3_descriptor_bufvec(data.rawValue, 0, 5)
        let source = WriteSource(&vector)
        #expect(try source.write(to: target, at: 0, appends: appends) == 5)
        var content = [UInt8](repeating: 0, count: 64)
        let count = pread(target.rawValue, &content, content.count, 0)
        #expect(String(decoding: content[..<max(count, 0)], as: UTF8.self) == after)
    }
}
