import CFuse3
import Glibc
import Synchronization
import Syscall
import SystemPackage

/// Notifies the kernel to drop what it has of a mount in its own caches (`FUSE_NOTIFY_*` of
/// <linux/fuse.h>).
///
/// Does not use libfuse, whose session may close its /dev/fuse while a thread is about to notify.
public final class Notifier: @unchecked Sendable {
    // Safe to share: the descriptor is set once, before other threads use the mount.
    private let device = Atomic<Int32>(-1)

    public init() {}

    deinit { stop(closing: true) }

    /// Starts to notify the connection of `session`, which is mounted; before this, nothing is
    /// sent.
    /// - Throws: `EMFILE`.
    public func start(_ session: FileDescriptor) throws(Errno) {
        device.store(try Syscall.duplicate(session).rawValue, ordering: .sequentiallyConsistent)
    }

    /// The duplicate of /dev/fuse; nil before `start`.
    var descriptor: FileDescriptor? {
        let number = device.load(ordering: .sequentiallyConsistent)
        return number < 0 ? nil : FileDescriptor(rawValue: number)
    }

    /// Stops notifying, so that the connection is not kept open. Does not wait for threads that are
    /// notifying; the descriptor's number stays in use, so it cannot become another file's.
    public func stop() { stop(closing: false) }

    private func stop(closing: Bool) {
        guard let descriptor else { return }
        if !closing, let null = try? Syscall.open("/dev/null", flags: O_RDWR) {
            dup2(null.rawValue, descriptor.rawValue)
            Syscall.close(null)
            return
        }
        device.store(-1, ordering: .sequentiallyConsistent)
        Syscall.close(descriptor)
    }

    /// Drops the attributes and access control lists of `node`, and every reply about them that has
    /// not arrived yet. Never waits: a thread that serves a request and holds a lock may call it.
    /// - Returns: false if the kernel does not know the node, or not yet.
    public func dropAttributes(of node: NodeID) -> Bool {
        guard let descriptor else { return true }
        return Self.dropAttributes(of: node, descriptor)
    }

    /// The same, for a thread that has `device` in a separate descriptor table.
    static func dropAttributes(of node: NodeID, _ device: FileDescriptor) -> Bool {
        dropInode(node, pages: false, device)
    }

    /// Drops the attributes of the root and of all of `nodes`, so that no path leads into the mount any
    /// more. Waits for nobody.
    public func dropAttributes(of nodes: KnownNodes) {
        guard let descriptor else { return }
        _ = cfuse3_drop_nodes(descriptor.rawValue, nodes.file.fd.rawValue, 0)
    }

    /// Drops the attributes of `node`, and its pages or its listing. Waits for pages that are being
    /// read, so a thread that serves requests must not call it.
    /// - Returns: false if the kernel does not know the node, or not yet.
    public func dropPages(of node: NodeID) -> Bool {
        guard let descriptor else { return true }
        return Self.dropPages(of: node, descriptor)
    }

    /// The same, for a thread that has `device` in a separate descriptor table.
    static func dropPages(of node: NodeID, _ device: FileDescriptor) -> Bool {
        dropInode(node, pages: true, device)
    }

    /// Drops the name `name` in `parent`, or that it does not exist. Waits until no request looks
    /// up or changes a name in `parent`, so a thread that serves requests must not call it.
    static func dropEntry(
        _ parent: NodeID, _ name: UnsafePointer<CChar>, _ device: FileDescriptor
    ) {
        _ = withUnsafeBytes(of: cfuse3_inval_entry_message(parent, name)) {
            send(UnsafeRawBufferPointer(rebasing: $0[..<Int($0.load(as: UInt32.self))]), device)
        }
    }

    /// True if this kernel can drop all names at once. Decided by its version, which is known
    /// before the mount; a mount shows it by the protocol version that it offers.
    public static var dropsNames: Bool { Syscall.kernelVersion >= (6, 16) }

    /// Drops all names. Never waits.
    /// - Returns: false if this kernel (before Linux 6.16) cannot.
    public func dropNames() -> Bool {
        guard let descriptor else { return false }
        return withUnsafeBytes(of: cfuse3_inc_epoch_message()) { Self.send($0, descriptor) == nil }
    }

    private static func dropInode(
        _ node: NodeID, pages: Bool, _ device: FileDescriptor
    ) -> Bool {
        withUnsafeBytes(of: cfuse3_inval_inode_message(node, pages ? 1 : 0)) {
            // After any other failure the connection has ended, and with it its caches.
            send($0, device) != .noSuchFileOrDirectory
        }
    }

    private static func send(_ message: UnsafeRawBufferPointer, _ device: FileDescriptor) -> Errno?
    {
        do throws(Errno) {
            try Syscall.writeMessage(device, message)
            return nil
        } catch {
            return error
        }
    }
}
