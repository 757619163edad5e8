# shellcheck shell=bash
# Debian's packages of kernels; sourced by the scripts that download them, after lib.sh.

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

# download FOLDER PACKAGE…: into it. Each may have its version behind a =.
download() {
    local folder=$1
    shift
    (cd "$folder" && private_apt apt-get download "$@") >"$APT/log" 2>&1 || {
        tail -n 15 "$APT/log" >&2
        die "$* cannot be downloaded (all of the output: $APT/log)"
    }
}

# debian_sources RELEASE: "URI RELEASE" of that release and its updates, from the mirrors of whichever
# release this machine has.
debian_sources() {
    local found
    found=$(machine_sources | sed -nE "s/ (bookworm|trixie)(-security|-updates)?$/ $1\2/p" | sort -u)
    grep -q " $1\$" <<<"$found" ||
        die "this machine's apt sources name no mirror of Debian 12 or 13 (bookworm, trixie): add one to /etc/apt/sources.list"
    printf '%s\n' "$found"
}

# read_lists OF SOURCES
read_lists() {
    write_apt_conf "$2"
    say "reading the package lists of $1"
    private_apt apt-get update >"$APT/log" 2>&1 || {
        tail -n 15 "$APT/log" >&2
        die "apt-get update failed with the private sources in $APT (all of its output: $APT/log)"
    }
}

# The lists of Debian 13 and its backports, from the Debian mirror that this machine uses.
read_trixie_lists() {
    local uri suite sources='' found
    found=$(debian_sources trixie)
    uri=$(awk '$2 == "trixie" { print $1; exit }' <<<"$found")
    for suite in trixie trixie-backports; do
        sources+="deb [signed-by=$DEBIAN_KEYRING] $uri $suite main"$'\n'
    done
    read_lists "Debian 13 and its backports" "$sources"
}

# releases 6.18: all of them in the lists, the newest first. 6.12-trixie is Debian 13's 6.12.
releases() {
    local series=${1%-trixie}
    private_apt apt-cache search --names-only "^linux-image-${series//./\\.}\\.[^-]*-amd64(-unsigned)?\$" |
        sed -E 's/^linux-image-([^ ]*-amd64)(-unsigned)? .*/\1/' | sort -urV
}

is_listed() {
    private_apt apt-cache show "$1" >/dev/null 2>&1
}

# image_package RELEASE: what has its image; before 6.19 also its modules. Empty if it is not there.
image_package() {
    local package
    for package in "linux-binary-$1" "linux-image-$1" "linux-image-$1-unsigned"; do
        if is_listed "$package"; then
            printf '%s\n' "$package"
            return
        fi
    done
}

# newest_kernel 6.12: prints "RELEASE VERSION", the newest that the meta package points to.
newest_kernel() {
    local found
    found=$(private_apt apt-cache show linux-headers-amd64 |
        sed -nE "s/^Depends: linux-headers-($1\.[^ ]*-amd64) \(= ([^)]+)\).*/\2 \1/p" | sort -V | tail -n 1)
    [[ $found ]] || die "the Debian mirror has no kernel $1: see $APT/sources.list"
    printf '%s %s\n' "${found#* }" "${found% *}"
}

# newest_trixie_kernel 7.3: the same of Debian 13's, whose meta package points to one series only.
newest_trixie_kernel() {
    local release
    for release in $(releases "$1"); do
        ! is_listed "linux-headers-$release" || break
    done
    [[ ${release:-} ]] || die "the Debian mirror has no kernel $1: see $APT/sources.list"
    printf '%s %s\n' "$release" \
        "$(private_apt apt-cache show "linux-headers-$release" | sed -n 's/^Version: //p' | head -n 1)"
}

# kernel_packages RELEASE VERSION: prints the packages, each with its version, that make up a kernel.
kernel_packages() {
    local release=$1 version=$2 kbuild
    # Signed images are published later than unsigned ones, and not in every suite. Since 6.19 the image
    # and the modules have packages of their own.
    if is_listed "linux-binary-$release=$version"; then
        printf '%s\n' "linux-binary-$release=$version" "linux-modules-$release=$version" \
            "linux-base-$release=$version"
    elif is_listed "linux-image-$release=$version"; then
        printf '%s\n' "linux-image-$release=$version"
    else
        printf '%s\n' "linux-image-$release-unsigned=$version"
    fi
    printf '%s\n' "linux-headers-$release=$version" "linux-headers-${release%-amd64}-common=$version"
    kbuild=$(private_apt apt-cache show "linux-headers-$release=$version" |
        grep -oE 'linux-kbuild-[^ ,]+' | head -n 1)
    printf '%s\n' "$kbuild=$version"
}
