import Glibc
import Syscall
import SystemPackage

/// A stream that somebody looks at.
struct Terminal: Sendable {
    let descriptor: CInt

    /// Nil if `descriptor` is no terminal.
    init?(_ descriptor: CInt) {
        guard isatty(descriptor) == 1 else { return nil }
        self.descriptor = descriptor
    }

    /// Characters; those of a usual window if the terminal does not know.
    private var size: (rows: Int, columns: Int) {
        let size = try? Syscall.terminalSize(FileDescriptor(rawValue: descriptor))
        guard let size, size.rows > 0, size.columns > 0 else { return (24, 80) }
        return size
    }

    // MARK: One line that changes

    /// Replaces the line that the cursor is in.
    func show(line: String) {
        write(text: "\r" + fitted(line, size.columns), to: descriptor)
    }

    func clearLine() {
        write(text: "\r\u{1b}[K", to: descriptor)
    }

    // MARK: A screen that changes

    /// Shows another, empty screen until `leaveScreen`: what was there before stays.
    func enterScreen() {
        write(text: "\u{1b}[?1049h", to: descriptor)
    }

    func leaveScreen() {
        write(text: "\u{1b}[?1049l", to: descriptor)
    }

    /// Replaces what the screen shows, as far as it fits. False if there is no terminal any more.
    func show(screen lines: [String]) -> Bool {
        let size = size
        let visible = lines.prefix(size.rows).map { fitted($0, size.columns) }
        return write(
            text: "\u{1b}[H" + visible.joined(separator: "\r\n") + "\u{1b}[J", to: descriptor)
    }

    /// Leaves the last column free: with the cursor beyond it, terminals differ in what they erase.
    private func fitted(_ line: String, _ columns: Int) -> String {
        "\(line.prefix(columns - 1))\u{1b}[K"
    }
}
