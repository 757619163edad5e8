import KernelCache
import MountRegistry

/// What `doctor --btf` prints: whether a kernel fits, of which there are files only.
struct BTFReport: Encodable {
    /// Nil if no file says of which kernel it is.
    let kernel: String?
    /// Whether that is of a tried series.
    let tried: Bool?
    let fits: Bool
    let checks: [Check]
    /// What is not as the module knows it, one by one.
    let differences: [String]

    init(btf: Path, fuse: Path?) throws(Failure) {
        do throws(BTFFileError) {
            let fit = try KernelFit.reading(kernel: btf.filePath, fuse: fuse?.filePath)
            self.init(fit, release: fit.release ?? Self.running(btf))
        } catch {
            let path = error.file == .fuse ? fuse ?? btf : btf
            throw Failure("\(path): \(error)")
        }
    }

    init(_ fit: KernelFit, release: String?) {
        kernel = release
        tried = release.map { TriedKernels.has($0) }
        fits = fit.fits
        checks = fit.parts.map { part in
            part.differences.isEmpty
                ? .ok(part.name, part.found.joined(separator: ", "))
                : Check(
                    name: part.name, status: .missing,
                    found: part.differences.joined(separator: "; "), mend: nil)
        }
        differences = fit.differences
    }

    /// The kernel's own files say nothing of the release, but it is no secret.
    private static func running(_ btf: Path) -> String? {
        btf.bytes.starts(with: "/sys/kernel/btf/".utf8) ? TriedKernels.running : nil
    }

    var text: String {
        (checks.map(\.text) + [verdict]).joined(separator: "\n")
    }

    private var verdict: String {
        let name = kernel.map { "Linux \($0)" } ?? "This kernel"
        let series = "a tried series (\(TriedKernels.list))"
        guard fits else {
            let things = differences.count == 1 ? "1 thing is" : "\(differences.count) things are"
            return "\(name) does not fit: \(things) not as the module knows it. Use a kernel of "
                + "\(series)."
        }
        switch tried {
        case true?: return "\(name) fits, and is of \(series)."
        case false?: return "\(name) fits, but is not of \(series)."
        case nil: return "\(name) fits."
        }
    }
}
