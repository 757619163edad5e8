// Twins of the sanitizers' runs: what each must report, and what it must not.
//   planted use-after-free|race|mutex
import Glibc
import Synchronization

/// Two threads add to `total`; with `mutex` held, or without.
final class Adders: @unchecked Sendable {
    private let mutex = Mutex(())
    private let guarded: Bool
    private var total = 0

    init(guarded: Bool) { self.guarded = guarded }

    func run() {
        var threads = [pthread_t(), pthread_t()]
        for index in threads.indices {
            pthread_create(
                &threads[index], nil,
                { context in
                    if let context {
                        Unmanaged<Adders>.fromOpaque(context).takeUnretainedValue().add()
                    }
                    return nil
                }, Unmanaged.passUnretained(self).toOpaque())
        }
        for thread in threads { pthread_join(thread, nil) }
        print(total)
    }

    private func add() {
        for round in 0..<10_000 {
            guard guarded else {
                total += 1
                continue
            }
            mutex.withLock { _ in
                total += 1
                // Now and then the other thread is to meet a mutex that is held, in the kernel.
                if round % 1000 == 0 { usleep(1000) }
            }
        }
    }
}

func useAfterFree() {
    let memory = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    memory.initialize(to: 1)
    memory.deallocate()
    print(memory.pointee)
}

switch CommandLine.arguments.dropFirst().first {
case "use-after-free": useAfterFree()
case "race": Adders(guarded: false).run()
case "mutex": Adders(guarded: true).run()
default: exit(2)
}
