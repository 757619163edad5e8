import Glibc
import Syscall
import SystemPackage

/// The messages of programs that libfuse starts: fusermount3(1) reports failures only there.
enum StandardError {
    /// Runs `body`, and returns the lines written to standard error meanwhile, by any thread.
    static func collecting<R>(_ body: () -> R) -> (R, lines: [String]) {
        guard let file = try? Syscall.makeMemoryFile("stderr", size: 0),
            let saved = try? Syscall.duplicate(FileDescriptor(rawValue: STDERR_FILENO), lowest: 3)
        else { return (body(), []) }
        let collected = Descriptor(owning: file)
        dup2(collected.fd.rawValue, STDERR_FILENO)
        let result = body()
        dup2(saved.rawValue, STDERR_FILENO)
        Syscall.close(saved)
        return (result, lines(of: collected.fd))
    }

    private static func lines(of file: FileDescriptor) -> [String] {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = (try? Syscall.read(file, at: 0, into: buffer)) ?? 0
            return buffer[..<count].split(separator: UInt8(ascii: "\n")).map { line in
                // It may hold a path, of any bytes.
                RawText.escape(line, inOneLine: true)
            }
        }
    }
}
