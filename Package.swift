// swift-tools-version: 6.3
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .treatAllWarnings(as: .error)
]
let cSettings: [CSetting] = [
    .treatAllWarnings(as: .error)
]

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
// The HTTP of `shortfuse metrics`.
let nio = ["NIOCore", "NIOHTTP1", "NIOPosix"].map {
    Target.Dependency.product(name: $0, package: "swift-nio")
}
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

let package = Package(
    name: "shortfuse",
    products: [
        // On which others write file systems: see Sources/StoreFS.
        .library(name: "StoreFS", targets: ["StoreFS", "FuseSession"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        // Only for the documentation: no target depends on it.
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
    ],
    targets: [
        // The ABI shared with kmod/ and bpf/, and the slot protocol over it.
        .target(name: "CShortfuseABI", cSettings: cSettings),
        // One C shim per library; each export has a comment with its reason.
        .target(
            name: "CFuse3", dependencies: ["CLinux"], cSettings: cSettings,
            linkerSettings: [.linkedLibrary("fuse3")]),
        .target(
            name: "CLibBPF", dependencies: ["CShortfuseABI"], cSettings: cSettings,
            linkerSettings: [
                .linkedLibrary("bpf"), .linkedLibrary("elf"), .linkedLibrary("z"),
                // Debian 13's libelf decompresses with it, too.
                .linkedLibrary("zstd"),
            ]),
        .target(name: "CLinux", cSettings: cSettings),
        // The compiled bpf/, embedded so that the binary is one file.
        .target(name: "CBPFPrograms", cSettings: cSettings),

        .target(
            name: "Syscall", dependencies: ["CLinux", system], swiftSettings: swiftSettings),
        .target(
            name: "FuseSession", dependencies: ["CFuse3", "Syscall", deque, logging, system],
            swiftSettings: swiftSettings),
        .target(
            name: "KernelCache",
            dependencies: [
                "CBPFPrograms", "CLibBPF", "CShortfuseABI", "Syscall", logging, system,
            ],
            swiftSettings: swiftSettings),
        // What daemons tell the commands of themselves: /run/shortfuse.
        .target(
            name: "MountRegistry",
            dependencies: [
                "CShortfuseABI", "FuseSession", "KernelCache", "Syscall", logging, system,
            ],
            swiftSettings: swiftSettings),
        // A file system from a store: what an author writes, and all else done.
        .target(
            name: "StoreFS",
            dependencies: [
                "FuseSession", "KernelCache", "MountRegistry", "Syscall", logging, system,
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "MirrorFS",
            dependencies: ["FuseSession", "KernelCache", "StoreFS", "Syscall", logging, system],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "shortfuse",
            dependencies: [
                "CShortfuseABI", "FuseSession", "KernelCache", "MirrorFS", "MountRegistry",
                "StoreFS", "Syscall", arguments, histogram, logging, system,
            ] + nio,
            swiftSettings: swiftSettings),

        // File systems on StoreFS, from the smallest to one with a server.
        .executableTarget(
            name: "values", dependencies: ["FuseSession", "StoreFS", system],
            path: "Examples/Values", swiftSettings: swiftSettings),
        .executableTarget(
            name: "clock", dependencies: ["FuseSession", "StoreFS", system],
            path: "Examples/Clock", swiftSettings: swiftSettings),
        .executableTarget(
            name: "shared", dependencies: ["FuseSession", "StoreFS", system],
            path: "Examples/Shared", swiftSettings: swiftSettings),

        .target(name: "SeededRandom", path: "bench/SeededRandom", swiftSettings: swiftSettings),
        .executableTarget(
            name: "latency-probe",
            dependencies: ["CLinux", "SeededRandom", "Syscall", arguments, system, histogram],
            path: "bench/LatencyProbe",
            swiftSettings: swiftSettings),

        .executableTarget(
            name: "slow-store", dependencies: ["FuseSession", "StoreFS", "Syscall", deque, system],
            path: "bench/SlowStore", swiftSettings: swiftSettings),

        // Judges histories of calls; knows nothing of files but their specifications.
        .target(
            name: "Linearizability", path: "bench/Linearizability", swiftSettings: swiftSettings),
        .executableTarget(
            name: "coherence-check",
            dependencies: [
                "CShortfuseABI", "FuseSession", "KernelCache", "Linearizability", "MirrorFS",
                "SeededRandom", "Syscall", arguments, logging, system,
            ],
            path: "bench/CoherenceCheck",
            swiftSettings: swiftSettings),

        .testTarget(
            name: "FuseSessionTests", dependencies: ["FuseSession", "Syscall"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "KernelCacheTests", dependencies: ["CLibBPF", "KernelCache"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "MountRegistryTests", dependencies: ["MountRegistry"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "StoreFSTests", dependencies: ["FuseSession", "StoreFS"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "MirrorFSTests", dependencies: ["MirrorFS"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CoherenceTests",
            dependencies: ["FuseSession", "KernelCache", "MirrorFS", "SeededRandom"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "LinearizabilityTests", dependencies: ["Linearizability", "SeededRandom"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ShortfuseTests", dependencies: ["MountRegistry", "shortfuse"],
            swiftSettings: swiftSettings),
    ]
)
