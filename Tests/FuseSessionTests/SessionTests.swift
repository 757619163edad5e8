import FuseSession
import Glibc
import SystemPackage
import Testing

@Suite struct CapabilityTests {
    @Test func haveTheNamesOfTheHeader() {
        #expect(Capabilities([.asynchronousRead]).names == ["async_read"])
        #expect(
            Capabilities([.leavesMask, .accessControlLists, .cacheSymlinks]).names
                == ["dont_mask", "posix_acl", "cache_symlinks"])
        #expect(
            Capabilities(rawValue: 1 << 31 | 1 << 2).names == ["capability_2", "capability_31"])
    }
}

@Suite struct SessionTests {
    @Test func unknownOptionsAreRefusedInOneLine() {
        var options = Session.Options()
        options.mountOptions = [Array("no_such_option".utf8)]
        let error = #expect(throws: SessionError.self) {
            try Session(StubFileSystem(), options: options)
        }
        #expect(error?.description.contains("no_such_option") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func commasInTheSourceNameAreNotOptions() throws {
        var options = Session.Options()
        options.sourceName = Array("/a,b\\c,no_such_option".utf8)
        _ = try Session(StubFileSystem(), options: options)
    }

    @Test func mountingNowhereFails() throws {
        let session = try Session(StubFileSystem())
        #expect(throws: SessionError.self) { try session.mount(at: "/no/such/directory") }
    }

    @Test func theLoopEndsWithTheChannel() throws {
        let channel = try RawChannel(StubFileSystem(), initializes: false)
        channel.hangUp()
        #expect(try channel.session.run() == nil)
    }

    @Test func exitEndsTheLoop() throws {
        let channel = try RawChannel(StubFileSystem(), initializes: false)
        let session = channel.session
        let running = BackgroundRun(session)
        let request = RawChannel.message(26, unique: 1, node: 0, body: RawChannel.initRequest)
        #expect(send(channel.kernel.rawValue, request, request.count, 0) == request.count)
        #expect(channel.receive(wait: true)?.error == 0)
        session.exit()
        #expect(try running.wait() == nil)
    }

    @Test func exitBeforeRunEndsIt() throws {
        let channel = try RawChannel(StubFileSystem())
        channel.session.exit()
        #expect(try channel.session.run() == nil)
    }
}
