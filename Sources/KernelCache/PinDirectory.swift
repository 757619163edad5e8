import CLibBPF
import Glibc
import SystemPackage

/// The directory of a mount's pinned maps, and the BPF file system above it.
public enum PinDirectory {
    public static let fileSystem = "/sys/fs/bpf"
    /// Where mounts have their directories.
    public static let root = fileSystem + "/shortfuse"

    /// Makes the directory, mode 0700, and mounts the BPF file system if it is missing.
    static func make(_ path: String) throws(KernelCacheError) {
        if path.hasPrefix(fileSystem + "/"), shim_is_bpf_file_system(fileSystem) == 0 {
            guard mount("bpf", fileSystem, "bpf", 0, nil) == 0 else {
                throw .noBPFFileSystem(path: fileSystem, Errno(rawValue: errno))
            }
        }
        for directory in [root, path] {
            guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
                throw .pinFailed(path: directory, Errno(rawValue: errno))
            }
        }
    }

    /// Removes the pins and the directory; what is not there is no error.
    public static func remove(_ path: String) {
        for name in BPFObject.mapNames { unlink(path + "/" + name) }
        rmdir(path)
    }
}
