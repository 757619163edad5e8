# shellcheck shell=bash
# Helpers that the scripts in this folder share; sourced, never run.

# shellcheck disable=SC2034 # for the scripts that source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Outside the checkout, so that several clones share one download.
CACHE=${SHORTFUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shortfuse}
KERNELS=(6.1 6.12)
# Those that only 'scripts/setup --kernels' fetches, from Debian 13 (trixie) and its backports.
MORE_KERNELS=(6.12-trixie 7.2 7.3)
NAME=${0##*/}
# Debian's 'su' leaves these out.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# usage_error MESSAGE: what is wrong with the arguments; exit status 2.
usage_error() {
    say "error: $* (see scripts/$NAME --help)"
    exit 2
}

need() {
    command -v "$1" >/dev/null || die "'$1' is missing: run scripts/setup"
}

# beside COMMAND…: runs it in the background, beside one other such command: for what uses one of two
# CPUs. Each is a process group, so that it can be ended with all that it started. `wait` waits for them.
beside() {
    while (($(jobs -rp | wc -l) >= 2)); do wait -n || true; done
    set -m
    "$@" </dev/null &
    set +m
}

# end_beside: ends what runs; for traps.
# shellcheck disable=SC2317
end_beside() {
    local job
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
    wait || true
}

# The folder of the Swift toolchain's programs: its clang also compiles the BPF objects.
swift_bin() {
    local swift
    swift=$(command -v swift) ||
        die "'swift' is not on PATH: install the Swift toolchain (swift.org/install) and add its usr/bin to PATH"
    # swiftly puts a proxy on PATH, which is not beside a clang.
    if [[ $(basename "$(readlink -f "$swift")") == swiftly ]]; then
        swift=$(swiftly use --print-location)/usr/bin/swift
    fi
    dirname "$(readlink -f "$swift")"
}

# is_kernel NAME: one of the kernels that setup can unpack.
is_kernel() {
    [[ " ${KERNELS[*]} ${MORE_KERNELS[*]} " == *" $1 "* ]]
}

# is_trixie NAME: one of those that are Debian 13's.
is_trixie() {
    [[ " ${MORE_KERNELS[*]} " == *" $1 "* ]]
}

# kernel_tree 6.12: where setup unpacked that kernel.
kernel_tree() {
    local tree=$CACHE/kernels/$1
    if [[ ! -e $tree/stamp ]]; then
        ! is_trixie "$1" || die "kernel $1 is not unpacked in $CACHE: run scripts/setup --kernels $1"
        die "kernel $1 is not unpacked in $CACHE: run scripts/setup"
    fi
    printf '%s\n' "$tree"
}

# kernel_release 6.12|host: what 'uname -r' says under it.
kernel_release() {
    if [[ $1 == host ]]; then
        uname -r
    else
        cat "$(kernel_tree "$1")/release"
    fi
}

# kernel_headers 6.12|host: the folder for 'make -C'.
kernel_headers() {
    local release headers
    release=$(kernel_release "$1")
    if [[ $1 == host ]]; then
        headers=/lib/modules/$release/build
        [[ -e $headers/Makefile ]] ||
            die "no headers for the running kernel $release: install linux-headers-$release, or use the VM (scripts/vm)"
    else
        headers=$(kernel_tree "$1")/usr/src/linux-headers-$release
    fi
    printf '%s\n' "$headers"
}

# in_trixie COMMAND…: runs it with Debian 13's /usr, as setup unpacked it, in place of this machine's:
# the compiler and the C library that the headers of its kernels need. Nobody else sees that.
in_trixie() {
    local usr=$CACHE/trixie/usr as=()
    [[ -e $CACHE/trixie/stamp ]] || die "Debian 13's compiler is not unpacked in $CACHE: run scripts/setup --kernels all"
    [[ $ROOT/ != /usr/* && $CACHE/ != /usr/* ]] ||
        die "the checkout or the cache is below /usr, where Debian 13's is to be for this: move it, or set SHORTFUSE_CACHE"
    ((EUID == 0)) || as=(--map-root-user)
    # Copies of FUSE mounts go first: their daemons would not end as long as this takes.
    # shellcheck disable=SC2016 # for the shell in there
    DEB_BUILD_ARCH=amd64 unshare "${as[@]}" --mount sh -c '
        awk "\$3 ~ /^fuse/ { print \$2 }" /proc/self/mounts | xargs -r umount --lazy 2>/dev/null
        mount --bind "$0" /usr && exec "$@"' "$usr" "$@"
}

# build_faults PRODUCT: in a debug build of its own, so that no other has a trace of them.
build_faults() {
    local bin log=$ROOT/.build-faults/$1.log
    bin=$(swift_bin)
    mkdir -p "$ROOT/.build-faults"
    make -s -C "$ROOT/bpf" CLANG="$bin/clang" OUT="$ROOT/.build-faults/bpf" BPF_DEFINES=-DSF_FAULTS
    say "building $1 with faults"
    # Static: what runs in the VM must find no libraries.
    "$bin/swift" build --package-path "$ROOT" --scratch-path "$ROOT/.build-faults" -c debug \
        --product "$1" -Xswiftc -DFAULTS -Xcc -DSF_FAULTS -Xswiftc -static-executable \
        >"$log" 2>&1 || {
        grep -v 'in statically linked applications requires' "$log" >&2
        die "the build with faults failed, see above"
    }
}
