# shellcheck shell=bash
# Helpers that the scripts in this folder share; sourced, never run.

# shellcheck disable=SC2034 # for the scripts that source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Outside the checkout, so that several clones share one download.
CACHE=${SHORTFUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shortfuse}
KERNELS=(6.1 6.12)
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

# is_kernel NAME: one of the kernels that setup unpacks.
is_kernel() {
    [[ " ${KERNELS[*]} " == *" $1 "* ]]
}

# kernel_tree 6.12: where setup unpacked that kernel.
kernel_tree() {
    local tree=$CACHE/kernels/$1
    [[ -e $tree/stamp ]] || die "kernel $1 is not unpacked in $CACHE: run scripts/setup"
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

# Packages are looked up and downloaded privately: neither this machine's apt sources nor its lists
# change. Here are that configuration, the lists and the downloads.
APT=$CACHE/apt
# shellcheck disable=SC2034 # for the scripts that source this
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The machine's own sources as "URI RELEASE", whichever of apt's formats they are written in.
# (apt-get fills in what stands in the parentheses.)
# shellcheck disable=SC2016
machine_sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Architecture: amd64' | awk '$3 == "main" { print $1, $2 }' | sort -u
}

# write_apt_conf SOURCES: writes what private_apt goes by.
write_apt_conf() {
    mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
    # Two mirrors of one suite in the machine's sources must not become duplicates here.
    sort -u <<<"${1%$'\n'}" >"$APT/sources.list"
    : >"$APT/status"
    # An empty status file: what this machine has installed must not sway which version is newest.
    # The hooks are cleared because they serve the machine's own lists.
    cat >"$APT/apt.conf" <<EOF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "$APT/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$APT/lists";
Dir::State::status "$APT/status";
Dir::Cache "$APT/cache";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
EOF
}

# private_apt PROGRAM ARGUMENT…
private_apt() {
    local program=$1
    shift
    "$program" -q -c "$APT/apt.conf" "$@"
}
