# shellcheck shell=bash
# Other people's FUSE daemons, as they come from Debian and PyPI, for scripts/compare-latency,
# scripts/check-coherence and Tests/system/attach*; sourced. Each shows what a directory holds.

# shellcheck disable=SC2034 # for scripts/compare-latency
DAEMONS=(bindfs squashfuse mergerfs gocryptfs fuse-overlayfs sshfs s3fs rclone buildbox-fuse)

# Debian packages of all; scripts/setup --daemons installs them, and what is from PyPI in $CACHE/daemons.
# shellcheck disable=SC2034 # for scripts/setup
DAEMON_PACKAGES=(
    bindfs squashfuse squashfs-tools mergerfs gocryptfs fuse-overlayfs sshfs openssh-server s3fs rclone python3-venv
)

# daemon_is_there NAME: with what it needs.
daemon_is_there() {
    case $1 in
    buildbox-fuse) [[ -x $CACHE/daemons/$1 ]] ;;
    s3fs | rclone) command -v "$1" >/dev/null && [[ -e $CACHE/daemons/moto.tar ]] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# is_bucket_daemon NAME: it shows a bucket.
is_bucket_daemon() { [[ $1 == s3fs || $1 == rclone ]]; }

# daemon_files NAME MANY: how many to measure with, MANY if it can. Servers are slow in the VM, and a time-out
# of seconds must not be over before all were looked at once.
daemon_files() {
    case $1 in
    s3fs | rclone) echo 5 ;;
    sshfs) echo 20 ;;
    *) echo "$2" ;;
    esac
}

# daemon_policy NAME: for `shortfuse attach`, as docs/daemons.md has it.
daemon_policy() {
    case $1 in
    sshfs | s3fs | rclone) echo ttl=5 ;;
    buildbox-fuse) echo own ;;
    *) echo exclusive ;;
    esac
}

S3_URL=http://127.0.0.1:5555
CASD_URL=http://127.0.0.1:5556

# await_server PORT: somebody listens there.
await_server() {
    for _ in {1..600}; do
        ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

# start_bucket SOURCE WORK: a server with a bucket that holds the files of SOURCE/dir*, and keys for it.
start_bucket() {
    local source=$1 work=$2
    tar -C "$work" -xf "$CACHE/daemons/moto.tar"
    "$work/moto/bin/python" -m moto.server -H 127.0.0.1 -p "${S3_URL##*:}" >"$work/s3.log" 2>&1 &
    echo $! >"$work/server.pid"
    printf '%s\n' '[s3]' 'type = s3' 'provider = Other' "endpoint = $S3_URL" 'access_key_id = key' \
        'secret_access_key = secret' >"$work/rclone.conf"
    (umask 077 && echo key:secret >"$work/s3fs.keys")
    await_server "${S3_URL##*:}"
    curl -sS -X PUT "$S3_URL/files" >/dev/null
    rclone --config "$work/rclone.conf" copy --include '/dir*/**' "$source" s3:files
}

# mount_buildbox WORK MOUNT NUMBER OPTION…: returns when it is mounted. It stays in the foreground.
mount_buildbox() {
    local work=$1 mount=$2
    mkdir "$work/local$3"
    "$CACHE/daemons/buildbox-fuse" "--local=$work/local$3" "--remote=$CASD_URL" "${@:4}" "$mount" \
        >"$work/buildbox$3.log" 2>&1 &
    for _ in {1..300}; do
        ! mountpoint -q "$mount" || return 0
        sleep 0.1
    done
    cat "$work/buildbox$3.log" >&2
    return 1
}

# start_casd SOURCE WORK: a store with the tree, whose digest is in WORK/digest.
start_casd() {
    local source=$1 work=$2
    mkdir "$work"/{cas,upload}
    "$CACHE/daemons/buildbox-casd" "--bind=${CASD_URL#http://}" --reserved=0 "$work/cas" >"$work/casd.log" 2>&1 &
    echo $! >"$work/server.pid"
    await_server "${CASD_URL##*:}"
    mount_buildbox "$work" "$work/upload" 0 "--output-digest=$work/digest"
    cp -a "$source/." "$work/upload/"
    umount "$work/upload"
    # It is written after the mount is gone.
    for _ in {1..300}; do
        [[ ! -s $work/digest ]] || return 0
        sleep 0.1
    done
    cat "$work/buildbox0.log" >&2
    return 1
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
            -o "PidFile=$work/server.pid" -o 'Subsystem=sftp internal-sftp'
        ;;
    s3fs | rclone) start_bucket "$source" "$work" ;;
    buildbox-fuse) start_casd "$source" "$work" ;;
    esac
}

# end_daemon WORK: what prepare_daemon has started.
end_daemon() {
    if [[ -e $1/daemon/server.pid ]]; then kill "$(<"$1/daemon/server.pid")" || true; fi
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
    s3fs) s3fs files "$mount" -o "url=$S3_URL,use_path_request_style,passwd_file=$work/s3fs.keys" ;;
    rclone) rclone --config "$work/rclone.conf" mount --daemon s3:files "$mount" ;;
    buildbox-fuse) mount_buildbox "$work" "$mount" "$5" "--input-digest=$work/digest" ;;
    esac
}

# daemon_counts NAME: whether count_writes.so sees its replies: not those of a program in Go.
daemon_counts() { [[ $1 != gocryptfs && $1 != rclone ]]; }

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
    passthrough_ll) echo exchange counting ;;
    esac
}
