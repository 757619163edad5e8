import Glibc

/// The kernels on which the tests of `scripts/kernel-matrix` have passed. On other kernels that
/// fit, acceleration works as far as BTF can show.
public enum TriedKernels {
    public static let series = ["6.1", "6.12", "7.2", "7.3"]

    public static var list: String { series.joined(separator: ", ") }

    /// - Parameter release: as `uname -r` has it.
    public static func has(_ release: String) -> Bool {
        let numbers = release.split { !$0.isNumber }.prefix(2)
        return series.contains(numbers.joined(separator: "."))
    }

    /// The release of the running kernel.
    public static var running: String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: &name.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// Added to the line that says that acceleration works, on a kernel that is not tried.
    public static var hint: String {
        has(running) ? "" : "; Linux \(running) is not of a tried series (\(list))"
    }
}
