# shellcheck shell=bash
# Other people's FUSE daemons, as they come from Debian, for scripts/compare-latency, scripts/check-coherence
# and Tests/system/attach-stress; sourced. Each shows what a directory holds.

# shellcheck disable=SC2034 # for scripts/compare-latency
DAEMONS=(bindfs squashfuse mergerfs gocryptfs fuse-overlayfs sshfs)

# Debian packages of all; scripts/setup --daemons installs them.
# shellcheck disable=SC2034 # for scripts/setup
DAEMON_PACKAGES=(bindfs squashfuse squashfs-tools mergerfs gocryptfs fuse-overlayfs sshfs openssh-server)

# daemon_policy NAME: for `shortfuse attach`, as docs/daemons.md has it.
daemon_policy() {
    case $1 in
    sshfs) echo ttl=5 ;;
    *) echo exclusive ;;
    esac
}

# prepare_daemon NAME SOURCE WORK: what it needs besides SOURCE, once.
prepare_daemon() {
    local source=$2 work=$3/daemon
    mkdir "$work"
    case $1 in
    squashfuse) mksquashfs "$source" "$work/image" -quiet -no-progress >/dev/null ;;
    gocryptfs)
        # No other kernel's file system is as deep as its encryption: it gets a copy of its own.
        mkdir "$work"/{cipher,plain}
        gocryptfs -q -nosyslog -init -scryptn 10 -extpass 'echo secret' "$work/cipher"
        gocryptfs -q -nosyslog -extpass 'echo secret' "$work/cipher" "$work/plain"
        cp -a "$source/." "$work/plain/"
        umount "$work/plain"
        ;;
    fuse-overlayfs) mkdir "$work"/{upper,work}{1,2} ;;
    sshfs)
        mkdir -p /run/sshd
        ssh-keygen -q -t ed25519 -N '' -f "$work/key"
        ip link set lo up 2>/dev/null || true
        cp "$work/key.pub" "$work/authorized"
        chmod 600 "$work/authorized"
        "$(command -v sshd || echo /usr/sbin/sshd)" -f /dev/null -h "$work/key" -o Port=2222 -o ListenAddress=127.0.0.1 \
            -o "AuthorizedKeysFile=$work/authorized" -o StrictModes=no -o PermitRootLogin=yes \
            -o "PidFile=$work/sshd.pid" -o 'Subsystem=sftp internal-sftp'
        ;;
    esac
}

# end_daemon WORK: what prepare_daemon has started.
end_daemon() {
    if [[ -e $1/daemon/sshd.pid ]]; then kill "$(<"$1/daemon/sshd.pid")" || true; fi
}

# start_daemon NAME SOURCE WORK MOUNT INSTANCE: the instance of that number, mounted when it returns.
start_daemon() {
    local source=$2 work=$3/daemon mount=$4
    case $1 in
    bindfs) bindfs "$source" "$mount" ;;
    mergerfs) mergerfs -o xattr=passthrough "$source" "$mount" ;;
    squashfuse) squashfuse "$work/image" "$mount" ;;
    gocryptfs) gocryptfs -q -nosyslog -extpass 'echo secret' "$work/cipher" "$mount" ;;
    fuse-overlayfs)
        fuse-overlayfs -o "writeback=0,lowerdir=$source,upperdir=$work/upper$5,workdir=$work/work$5" "$mount"
        ;;
    sshfs)
        sshfs -p 2222 -o "IdentityFile=$work/key,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null" \
            "root@127.0.0.1:$source" "$mount"
        ;;
    esac
}

# daemon_counts NAME: whether count_writes.so sees its replies.
daemon_counts() { [[ $1 != gocryptfs ]]; }

# shellcheck disable=SC2034 # for scripts/check-coherence
CHECKED_DAEMONS=(bindfs passthrough_ll mergerfs)

# start_checked_daemon NAME SOURCE MOUNT [OPTION…]: the same, but the kernel keeps nothing by itself
# (time-outs of 0), and requests are served side by side. gocryptfs has its time-outs, and SOURCE is made.
start_checked_daemon() {
    local zero=cache.attr=0,cache.entry=0,cache.negative_entry=0
    case $1 in
    bindfs)
        bindfs --multithreaded -o attr_timeout=0,entry_timeout=0,negative_timeout=0 "${@:4}" "$2" "$3"
        ;;
    passthrough_ll)
        "$ROOT/.build/bench/passthrough_ll" "${@:4}" -o "source=$2,timeout=0,cache=auto,xattr" "$3"
        ;;
    # It makes no file where less than 4 GiB are free, as it comes.
    mergerfs) mergerfs "${@:4}" -o "use_ino,xattr=passthrough,minfreespace=0,$zero" "$2" "$3" ;;
    gocryptfs)
        gocryptfs -q -nosyslog -init -scryptn 10 -extpass 'echo secret' "$2"
        gocryptfs -q -nosyslog -extpass 'echo secret' "$2" "$3"
        ;;
    esac
}

# daemon_lacks NAME: what it cannot, or not in a way that could be judged, attached or not: docs/daemons.md.
daemon_lacks() {
    case $1 in
    bindfs) echo exchange links replacing ;;
    mergerfs) echo exchange links replacing holding direct ;;
    passthrough_ll) echo exchange ;;
    esac
}
