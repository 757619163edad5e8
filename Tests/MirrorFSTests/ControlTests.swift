import FuseSession
import Glibc
import MirrorFS
import Syscall
import SystemPackage
import Testing

/// IOCTL and access control lists.
@Suite struct ControlTests {
    let fixture: Fixture

    init() throws {
        fixture = try Fixture()
    }

    private func control(
        _ node: NodeID, _ command: UInt32, _ input: [UInt8] = [], outputSize: Int = 0
    ) throws(Errno) -> [UInt8] {
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: outputSize, alignment: 8)
        defer { output.deallocate() }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count, alignment: 8)
        defer { memory.deallocate() }
        memory.copyBytes(from: input)
        let count = try fixture.mirror.control(
            fixture.root, node: node, command: command, input: UnsafeRawBufferPointer(memory),
            into: output)
        return Array(output[..<count])
    }

    @Test func flagsAreThoseOfSource() throws {
        let node = try fixture.makeFile("file").nodeID
        let noDump: UInt8 = 0x40
        // A file system without flags tells nothing.
        guard let flags = try? control(node, Syscall.getInodeFlags, outputSize: 4) else { return }
        #expect(flags.count == 4 && flags[0] & noDump == 0)
        _ = try control(node, Syscall.setInodeFlags, [flags[0] | noDump] + flags[1...])
        #expect(try control(node, Syscall.getInodeFlags, outputSize: 4)[0] & noDump != 0)
        let fd = open(fixture.path("file"), O_RDONLY)
        defer { close(fd) }
        var seen: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
        try Syscall.control(
            FileDescriptor(rawValue: fd), command: Syscall.getInodeFlags, argument: &seen)
        #expect(seen[0] & noDump != 0)
    }

    @Test func allElseIsRefused() throws {
        let node = try fixture.makeFile("file").nodeID
        let pipe = try fixture.mirror.makeNode(
            fixture.root, parent: 1, name: "pipe", mode: S_IFIFO | 0o600, device: 0
        ).nodeID
        let noTerminal = Errno(rawValue: ENOTTY)
        #expect(throws: noTerminal) { try control(node, UInt32(TIOCGWINSZ), outputSize: 8) }
        #expect(throws: noTerminal) { try control(node, 0) }
        #expect(throws: noTerminal) { try control(pipe, Syscall.getInodeFlags, outputSize: 4) }
        #expect(throws: Errno.invalidArgument) {
            try control(node, Syscall.getInodeFlags, outputSize: 3)
        }
        #expect(throws: Errno.invalidArgument) { try control(node, Syscall.setExtendedFlags, [1]) }
        #expect(throws: Errno.staleNFSFileHandle) {
            try control(4711, Syscall.getInodeFlags, outputSize: 4)
        }
    }

    @Test func theUmaskIsTheCallers() throws {
        for mask in [0o022, 0o077, 0] as [mode_t] {
            let caller = RequestContext(uid: geteuid(), gid: getegid(), umask: mask)
            let file = try fixture.makeFile("file\(mask)", mode: 0o666, as: caller).attributes
            #expect(file.st_mode & 0o777 == 0o666 & ~mask)
            let directory = try fixture.mirror.makeDirectory(
                caller, parent: 1, name: "directory\(mask)", mode: 0o777
            ).attributes
            #expect(directory.st_mode & 0o777 == 0o777 & ~mask)
        }
    }

    /// Where the directory has a default list, that counts instead.
    @Test func aDefaultListReplacesTheUmask() throws {
        let parent = try fixture.makeDirectory("parent").nodeID
        // acl_entry of <linux/posix_acl_xattr.h>: tag, permissions, id; owner, group and others
        // have all.
        let nobody: [UInt8] = [0xff, 0xff, 0xff, 0xff]
        let list: [UInt8] =
            [2, 0, 0, 0] + [1, 0, 7, 0] + nobody + [4, 0, 7, 0] + nobody + [0x20, 0, 7, 0] + nobody
        let isSet: Void? = list.withUnsafeBytes {
            try? fixture.mirror.setExtendedAttribute(
                fixture.root, of: parent, name: "system.posix_acl_default", to: $0, flags: 0)
        }
        // A file system without lists tells nothing.
        guard isSet != nil else { return }
        let caller = RequestContext(uid: geteuid(), gid: getegid(), umask: 0o077)
        let file = try fixture.makeFile("file", in: parent, mode: 0o664, as: caller).attributes
        #expect(file.st_mode & 0o777 == 0o664)
    }
}
