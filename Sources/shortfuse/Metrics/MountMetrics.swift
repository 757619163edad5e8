import Glibc
import KernelCache
import MountRegistry

/// One mount at one moment: what `metrics` shows of it.
struct MountMetrics {
    let mountpoint: Path
    /// Why it does not serve at `mountpoint`; nil if it does.
    let down: String?
    /// Nil if its state or its maps could not be read, or if it is gone.
    let report: MountReport?
    /// Empty if not accelerated.
    let maps: [MapUsage]
    /// Nil if its daemon is gone.
    let process: ProcessFigures?

    init(
        mountpoint: Path, down: String?, report: MountReport? = nil, maps: [MapUsage] = [],
        process: ProcessFigures? = nil
    ) {
        self.mountpoint = mountpoint
        self.down = down
        self.report = report
        self.maps = maps
        self.process = process
    }

    /// Looks where `status` and `stats` do: in files and maps, so it waits for no daemon.
    /// - Parameters:
    ///   - complaint: why the mount does not answer, if so.
    ///   - telling: what could not be read.
    init(
        _ state: MountState, _ runtime: RuntimeDirectory, complaint: String?,
        telling: (String) -> Void
    ) {
        mountpoint = state.mountpoint
        process = ProcessFigures(state.process)
        var report: MountReport?
        var maps: [MapUsage] = []
        do throws(Failure) {
            let read = try MountReport(state, runtime: runtime)
            if read.accelerated { maps = try Self.maps(read.pins) }
            report = read
        } catch {
            telling(error.description)
        }
        self.report = report
        self.maps = maps
        down =
            if !state.process.isAlive {
                "its daemon is gone"
            } else if report?.mounted == false {
                "it is not mounted any more"
            } else {
                complaint
            }
    }

    private static func maps(_ pins: String) throws(Failure) -> [MapUsage] {
        do {
            return try KernelCache.usage(pinDirectory: pins)
        } catch {
            throw Failure(MountReport.unreadable(pins, error))
        }
    }

    /// Of somebody else's daemon the counts are not known.
    var countsDaemon: Bool { report?.state == .live && report?.attached == nil }
}
