import Synchronization
import SystemPackage

/// The result of a task or of its cancellation, whichever comes first.
final class FirstResult<Value: Sendable>: Sendable {
    private enum State {
        case open(CheckedContinuation<Result<Value, Errno>, Never>?)
        case known(Result<Value, Errno>)
    }

    private let state = Mutex(State.open(nil))

    /// - Returns: false if there already was one.
    @discardableResult
    func offer(_ result: Result<Value, Errno>) -> Bool {
        let (isFirst, waiter) = state.withLock { state in
            guard case .open(let waiter) = state else {
                return (false, nil as CheckedContinuation<Result<Value, Errno>, Never>?)
            }
            state = .known(result)
            return (true, waiter)
        }
        waiter?.resume(returning: result)
        return isFirst
    }

    /// Call it once.
    var value: Result<Value, Errno> {
        get async {
            if let known { return known }
            return await withCheckedContinuation { waiter in
                let result = state.withLock { state -> Result<Value, Errno>? in
                    if case .known(let result) = state { return result }
                    state = .open(waiter)
                    return nil
                }
                if let result { waiter.resume(returning: result) }
            }
        }
    }

    private var known: Result<Value, Errno>? {
        state.withLock { if case .known(let result) = $0 { result } else { nil } }
    }
}
