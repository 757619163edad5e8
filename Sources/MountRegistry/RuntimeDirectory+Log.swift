import Logging

/// For a daemon that serves: what fails is for its log.
extension RuntimeDirectory {
    /// As `update`, of this process.
    package func record(_ log: Logger, _ change: (inout MountState) -> Void) {
        do throws(Failure) {
            try update(change)
        } catch {
            log.error("\(error)")
        }
    }

    /// As `release`.
    package func release(_ log: Logger) {
        do throws(Failure) {
            try release()
        } catch {
            log.error("\(error)")
        }
    }
}
