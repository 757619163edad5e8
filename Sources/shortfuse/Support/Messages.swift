import Glibc

/// Writes to standard error and exits with 1.
func fail(_ message: String) -> Never {
    warn(message)
    exit(EXIT_FAILURE)
}

/// Writes one line to standard error.
func warn(_ message: String) {
    write(line: "shortfuse: \(message)", to: STDERR_FILENO)
}

/// Writes one line, unbuffered. False if that fails; there may be nobody left to tell.
@discardableResult
func write(line: String, to descriptor: CInt) -> Bool {
    write(text: line + "\n", to: descriptor)
}

/// Writes `text` as it is, unbuffered. False if that fails.
@discardableResult
func write(text: String, to descriptor: CInt) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if written > 0 {
            rest = rest.dropFirst(written)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}
