# shellcheck shell=bash
# What the system tests share; sourced. A test is a function test_NAME that fails by `fail`, or by
# any command that fails; `run_tests` runs all of a file and prints `N passed, N failed`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
TOOLS=$ROOT/.build/tests

# need PROGRAM…: a check by a program that is not there would pass for nothing.
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "'$program' is missing: run scripts/setup, or install it if that does not" >&2
            exit 1
        }
    done
}
need bpftool jq pgrep pkill setpriv

WORK=$(mktemp -d "${TMPDIR:-/tmp}/shortfuse-test.XXXXXX")
# Copied: in the VM the checkout is slow, and a daemon must not wait for it. SHORTFUSE in the
# environment is tested instead of what scripts/build left.
mkdir -p "$WORK/bin"
cp "${SHORTFUSE:-$ROOT/.build/release/shortfuse}" "$WORK/bin/shortfuse"
cp "$TOOLS/hammer" "$TOOLS/attach-probe" "$TOOLS/io-check" "$WORK/bin/"
SHORTFUSE=$WORK/bin/shortfuse
# Of these tests alone: other mounts on this machine, and what dead daemons left, do not concern them.
export SHORTFUSE_RUNTIME_DIRECTORY=/run/${WORK##*/}
# shellcheck disable=SC2034 # for the tests
PINS=/sys/fs/bpf/shortfuse-run-$(sed 's/-/_x2d/g; s/\./_x2e/g' <<<"${WORK##*/}")
# shellcheck disable=SC2034 # for the tests
HAMMER=$WORK/bin/hammer

# load_module: if it is not there; for tests of acceleration, in the VM.
load_module() {
    [[ -e /dev/shortfuse ]] || insmod "${SHORTFUSE_KO:?the module to load}" || exit 1
}

fail() {
    printf '    %s\n' "$*" >&2
    exit 1
}

# expect WHAT EXPECTED ACTUAL
expect() {
    [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
}

# eventually WHAT EXPECTED COMMAND: waits until COMMAND (for eval) prints EXPECTED.
eventually() {
    local actual
    for _ in {1..100}; do
        actual=$(eval "$3")
        [[ $actual != "$2" ]] || return 0
        sleep 0.1
    done
    fail "$1: expected '$2', got '$actual' after 10 s"
}

# ends WHAT PID: waits for the end of a process.
ends() { eventually "$1" gone "[[ -e /proc/$2 ]] || echo gone"; }

# open_descriptors PID [PATTERN]: how many a process has, of what matches PATTERN. Some may be closed while
# they are looked at.
open_descriptors() {
    { find "/proc/$1/fd" -mindepth 1 ${2:+-lname "$2"} 2>/dev/null || true; } | wc -l
}

# expect_refusal PATTERN COMMAND…: fails, non-zero, with one line on stderr that matches.
expect_refusal() {
    local pattern=$1 output status=0 lines
    shift
    output=$("$@" 2>&1 >/dev/null) || status=$?
    ((status != 0)) || fail "'$*' was accepted"
    ((status < 128)) || fail "'$*' died of signal $((status - 128))"
    lines=$(grep -c . <<<"$output") || true
    ((lines == 1)) || fail "'$*': one line wanted on stderr, got $lines: $output"
    grep -qE -- "$pattern" <<<"$output" || fail "'$*': '$output' does not match '$pattern'"
}

# json FILTER: asks `status` about the mount at $MNT.
json() {
    "$SHORTFUSE" status --json "$MNT" | jq -r ".mounts[0] | $1"
}

# Requests of opcode $1 that reached the daemon; all without.
requests() {
    json "[.daemon_requests${1:+.$1} // {} | .. | numbers] | add // 0"
}

# start [OPTION…]: mounts a fresh SOURCE of this test's at $MNT.
start() {
    "$SHORTFUSE" mount "$SRC" "$MNT" "$@" >"$WORK/mount.out" 2>&1 ||
        fail "mount: $(cat "$WORK/mount.out")"
}

stop() {
    "$SHORTFUSE" unmount "$MNT"
}

is_mounted() { grep -qaF -- " $1 fuse" /proc/self/mounts; }

# A tree of 2 × 10 × 10 files with odd ones among them.
plant() {
    local directory file length name
    # Few programs: starting one takes long in the VM.
    mkdir -p "$1"/{a,b}/{0..9}
    for directory in "$1"/{a,b}/{0..9}; do
        for file in "$directory"/file{0..9}; do printf '%s\n' "$directory" >"$file"; done
    done
    # Around the length at which names change the map, and the longest.
    for length in 31 32 33 36 39 40 41 255; do
        printf -v name '%*s' "$length" ''
        : >"$1/a/0/${name// /x}"
    done
    ln -s ../a/0/file0 "$1/b/link"
    ln "$1/a/1/file1" "$1/b/hard"
    mkfifo "$1/a/fifo"
    : >"$1/a/empty"
    : >"$1/a/"$'not-utf8-\xff\xfe'
    chmod 640 "$1/a/2/file2"
    chown 1:2 "$1/a/3/file3"
    touch -d '2001-02-03 04:05:06.789' "$1/a/4/file4"
}

# Everything stat knows but the device and the time of birth, which FUSE does not carry. The names
# come from the mount, and links are not read: reading SOURCE would move its atime behind the mount.
listing() {
    (cd "$MNT" && find . -print0) | LC_ALL=C sort -z |
        (cd "$1" && xargs -0 stat -c '%n %i %f %s %b %B %h %u %g %t %T %y %z %x')
}

# both COMMAND: runs it in the mount and in a plain directory; output and trees must be the same.
both() {
    local plain=$SRC.plain
    mkdir -p "$plain"
    (cd "$MNT" && eval "$1") >"$WORK/mount.log" 2>&1 || fail "on the mount: $1: $(tail -n 3 "$WORK/mount.log")"
    (cd "$plain" && eval "$1") >"$WORK/plain.log" 2>&1 || fail "on the plain directory: $1"
    diff "$WORK/plain.log" "$WORK/mount.log" || fail "output differs: $1"
    diff <(tree "$plain") <(tree "$MNT") || fail "trees differ: $1"
    diff <(tree "$SRC") <(tree "$MNT") || fail "mount and source differ: $1"
}

# Names, types, modes, owners, link counts, file sizes, contents.
tree() {
    (cd "$1" && find . -name .git -prune -o -printf '%P %y %m %U:%G %l ' \
        \( -type d -printf '\n' -o -printf '%n %s\n' \) | LC_ALL=C sort
    find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r cksum)
}

# Those of these tests: others on this machine may be about theirs.
end_hammers() { pkill -f "^$HAMMER " || true; }

# shellcheck disable=SC2317 # a trap calls it
clean_up() {
    local status=$? background=() place
    end_hammers
    # What a test that failed left running. It holds the pipe open that run_tests reads.
    mapfile -t background < <(jobs -p)
    ((${#background[@]} == 0)) || kill "${background[@]}" 2>/dev/null || true
    if is_mounted "$MNT"; then "$SHORTFUSE" unmount --lazy "$MNT" >/dev/null 2>&1 || true; fi
    # What a test mounted, by bytes. The kernel writes white space in octal.
    LC_ALL=C
    while read -r place; do
        umount --lazy "$(printf %b "$place")" 2>/dev/null || true
    done < <(awk -v below="$WORK/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts)
    exit "$status"
}

run_tests() {
    local passed=0 failed=0 name output
    for name in $(compgen -A function test_ | LC_ALL=C sort); do
        if [[ $# -gt 0 && " $* " != *" ${name#test_} "* ]]; then continue; fi
        SRC=$WORK/$name/source MNT=$WORK/$name/mount
        mkdir -p "$SRC" "$MNT"
        local started=$SECONDS
        # A subshell of its own, so that `fail` ends it; not as a condition, where set -e is void.
        output=$(
            set -euo pipefail
            trap 'clean_up' EXIT
            exec 2>&1
            "$name"
        )
        # shellcheck disable=SC2181
        if (($? == 0)); then
            passed=$((passed + 1))
            printf 'ok      %s (%d s)\n' "${name#test_}" $((SECONDS - started))
            if [[ $output ]]; then printf '    %s\n' "${output//$'\n'/$'\n'    }"; fi
        else
            failed=$((failed + 1))
            printf 'FAILED  %s\n%s\n' "${name#test_}" "$output"
        fi
    done
    rm -rf "$WORK" "$SHORTFUSE_RUNTIME_DIRECTORY"
    rmdir "$PINS" 2>/dev/null || true
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0 && passed > 0))
}
