import Glibc

/// A user who is not root mounts through fusermount3(1), which is set-user-ID root and decides what users
/// may. Whatever is done in SOURCE is done by this user.
package enum OrdinaryUser {
    package static var isCurrent: Bool { geteuid() != 0 }

    /// The directory for the state of this user's mounts: `$XDG_RUNTIME_DIR/shortfuse`, or where systemd
    /// would have it.
    package static var runtimeDirectory: Path {
        let given = getenv("XDG_RUNTIME_DIR").map { Path(cString: $0) }
        let parent = given.flatMap { $0.isAbsolute ? $0 : nil } ?? "/run/user/\(geteuid())"
        return "\(parent)/shortfuse"
    }
}
