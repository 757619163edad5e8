import CLibBPF
import Glibc
import Syscall
import SystemPackage

/// The directory of a mount's pinned maps, and the BPF file system above it.
///
/// An instance is a directory that a cache has created, whatever its current name: if a daemon's
/// mount has ended, its directory is renamed when another mount takes its place.
public final class PinDirectory: Sendable {
    public static let fileSystem = "/sys/fs/bpf"
    /// Where mounts have their directories.
    public static let root = fileSystem + "/shortfuse"

    private let directory: Descriptor

    /// Makes the directory, mode 0700, and mounts the BPF file system if it is missing.
    init(making path: String) throws(KernelCacheError) {
        try Self.make(path)
        do throws(Errno) {
            directory = Descriptor(
                owning: try Syscall.open(path, flags: Syscall.openPath | O_DIRECTORY | O_NOFOLLOW))
        } catch {
            throw .pinFailed(path: path, error)
        }
    }

    /// Removes the pins and the directory.
    func remove() {
        // Not by path: another daemon's directory may be there by now.
        for name in BPFObject.mapNames { unlinkat(directory.fd.rawValue, name, 0) }
        // Fails if it is another daemon's by now, and has pins.
        if let path = try? Syscall.linkTarget(ofDescriptor: directory.fd) { rmdir(path.cString) }
    }

    /// Renames the directory at `path`. Does nothing if there is none.
    public static func rename(_ path: String, to new: String) throws(Errno) {
        guard Glibc.rename(path, new) == 0 || errno == ENOENT else {
            throw Errno(rawValue: errno)
        }
    }

    private static func make(_ path: String) throws(KernelCacheError) {
        if path.hasPrefix(fileSystem + "/"), shim_is_bpf_file_system(fileSystem) == 0 {
            guard mount("bpf", fileSystem, "bpf", 0, nil) == 0 else {
                throw .noBPFFileSystem(path: fileSystem, Errno(rawValue: errno))
            }
        }
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? root
        for directory in [parent, path] {
            guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
                throw .pinFailed(path: directory, Errno(rawValue: errno))
            }
            // Every user may create directories in a BPF file system; the owner of this one could
            // replace the maps.
            var found = stat()
            guard lstat(directory, &found) == 0,
                Syscall.isOwnDirectory(found, sharesSticky: true)
            else { throw .foreignPins(path: directory) }
        }
    }

    /// Removes the pins and the directory; missing ones are not an error.
    public static func remove(_ path: String) {
        for name in BPFObject.mapNames { unlink(path + "/" + name) }
        rmdir(path)
    }
}
