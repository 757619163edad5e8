/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The ABI between the kernel module (kmod/), the BPF programs (bpf/) and the
 * daemon (Sources/KernelCache). Fixed-width types and UAPI structs only.
 */
#ifndef SHORTFUSE_ABI_H
#define SHORTFUSE_ABI_H

#include <linux/fuse.h>
#include <linux/ioctl.h>
#include <linux/types.h>

enum sf_const {
	/* Raised with every change below; module and daemon must agree. */
	SF_ABI_VERSION = 8,

	/* FUSE opcodes known to the hook: 0 .. SF_OPCODES - 1. */
	SF_OPCODES = 64,

	/*
	 * Longest request that the hook shows to a program (a 255-byte name with
	 * its NUL, rounded up to whole words). Raising it costs stack in every
	 * request of an attached mount.
	 */
	SF_IN_MAX = 264,

	/*
	 * Input up to this long (a short name with its NUL) is followed by zeros
	 * to the end of its last word, longer input by zeros up to SF_IN_MAX:
	 * zeroing all for every request would cost more than the program.
	 */
	SF_IN_SHORT = 33,

	/* Longest reply but for READ's: struct fuse_entry_out. */
	SF_OUT_MAX = 128,

	/*
	 * Bytes of file data in one element of the map `data`, and what one run
	 * of READ's program answers at the most. Raising it wastes more behind
	 * the end of small files.
	 */
	SF_BLOCK = 4096,

	/*
	 * A block may be in so many elements of `data`. Raising it costs a look at
	 * each in a READ that misses; lowering it evicts hot blocks that crowd.
	 */
	SF_WAYS = 8,

	/*
	 * Names up to this many bytes live in the map `names`, longer ones in
	 * `long_names`. Raising it costs hashing and memory for every short name.
	 */
	SF_SHORT_NAME = 32,
	SF_LONG_NAME = 256,

	/*
	 * Names of extended attributes up to this long (with their NUL), and
	 * values up to this long, live in `replies`. Raising either costs memory
	 * for every entry; the name must fit SF_IN_SHORT behind a getxattr_in.
	 */
	SF_REPLY_NAME = 32,
	SF_REPLY_MAX = 96,
};

/* sf_attr_slot.attr.flags: else the tick of the first answer, 0: there was none. */
#define SF_TOLD_ALWAYS 1U         /* the kernel may keep them at once */
#define SF_TOLD_NEVER 0xffffffffU /* it must not */

/*
 * Set in the file handle of every OPEN answered in kernel; below it the version
 * of the node at that moment. The daemon has nothing open for such a handle and
 * serves it by nodeid.
 */
#define SF_FH_RESERVED (1ULL << 63)

/* What a program returns. */
enum sf_verdict {
	SF_PASS = 0,    /* ask the daemon */
	SF_ANSWER = 1,  /* sf_ctx.error and sf_ctx.out are the reply */
	SF_LEARNED = 1, /* of a learner: the reply was kept, and may answer the next */
};

/*
 * One request, as the hook shows it to the program of its opcode. The program
 * reads nodeid .. out_size and in, and writes error and out; out_size only
 * where the reply's length may vary (READ, READLINK, extended attributes).
 */
struct sf_ctx {
	__u64 nodeid;       /* the node the request is about (LOOKUP: the parent) */
	__u32 opcode;       /* enum fuse_opcode */
	__u32 in_size;      /* bytes used in `in`, zeros follow: see SF_IN_SHORT */
	__u32 out_size;     /* bytes the kernel wants; then bytes in `out` */
	__s32 error;        /* 0 or a negative errno; `out` counts only if 0 */
	__u64 cookie;       /* READ: 0 in the first run, kept until the last */
	__u8 in[SF_IN_MAX]; /* all in_args, one behind the other */
	__u8 out[SF_OUT_MAX];
};

/*
 * What a learner is given: a request of an attached mount that its daemon has answered, `out` being
 * the reply and out_size its length.
 */
struct sf_learn_ctx {
	struct sf_ctx head; /* cookie: the connection's count of changes before it was sent */
	__u64 asked;        /* CLOCK_MONOTONIC in nanoseconds, before it was sent */
};

/* How long what a daemon answered is true: of a mount that the programs do not serve themselves. */
enum sf_policy {
	SF_POLICY_MIRROR,    /* our own daemon keeps the maps exact */
	SF_POLICY_OWN,       /* as long as the daemon said itself */
	SF_POLICY_TTL,       /* for ttl_ns, unless a change passes by */
	SF_POLICY_EXCLUSIVE, /* until a change passes by */
};

/*
 * READ's: run once for each block that the request touches, with its part of
 * the request in `in` (struct fuse_read_in). `block` mirrors the block of the
 * file: a byte is where it is in there. Fewer bytes than wanted are the end.
 */
struct sf_read_ctx {
	struct sf_ctx head; /* head.out is not used */
	__u64 block[SF_BLOCK / 8];
};

/* The constants of the programs, set by the daemon before load. */
struct sf_config {
	/* log2 of the slots in `attrs`. One more doubles the map's memory. */
	__u32 slot_bits;
	/* Sets of SF_WAYS blocks in `data`. */
	__u32 data_sets;
	/* Larger files are opened by the daemon: their data is not kept. */
	__u64 file_max;
	/* Seconds for which the kernel may keep names, and attributes that are settled. */
	__u32 entry_valid;
	__u32 attr_valid;
	/* Ticks (2^20 ns) until attributes are settled: NativeCaches.Options. */
	__u32 settle_ticks;
	/* enum sf_policy. */
	__u32 policy;
	/* Of SF_POLICY_TTL. Longer: fewer requests, older answers. */
	__u64 ttl_ns;
};

/*
 * One slot of the map `attrs`, an array that the daemon writes through mmap:
 * node N lives in slot N mod slots, if anywhere.
 *
 * seq    odd while the daemon writes; a reader that sees it odd or changed
 *        throws its copy away.
 * grant  LOOKUPs answered in kernel that the daemon has not counted yet:
 *        tag << 32 | count, tag = sf_tag(nodeid). Only the daemon changes the
 *        tag; programs raise the count by compare-and-swap, and only under the
 *        tag of the node that they answer for. So no lookup is lost or booked
 *        to another node, whatever happens to the slot meanwhile.
 * nodeid 0: no attributes here.
 * version        of the node's data (a directory's: of its names). Never used
 *        twice by one daemon, so what was cached under another version is
 *        void without being touched.
 * xattr_version  the same of its extended attributes; never used twice for
 *        one node.
 * kept   the version that the kernel's own cache of the node is known to be
 *        of. A file's: the page cache may be kept at OPEN if this is the
 *        version; programs set it at RELEASE. 0: the daemon has not opened it
 *        yet. A directory's: its listing is in the kernel.
 * attr.flags     not the kernel's (for it they are 0): when it was first told
 *        these attributes, SF_TOLD_*. Programs set it from 0.
 *
 * Of an attached mount the programs are the writers, and a node is in one of the SF_SLOT_WAYS
 * slots around sf_slot_hash(nodeid). version is then the connection's count of changes before
 * the daemon was asked, kept the time (CLOCK_MONOTONIC, ns) at which the
 * attributes end; grant and xattr_version are not used.
 */
struct sf_attr_slot {
	__u32 seq;
	__u32 xattr_version;
	__u64 grant;
	__u64 nodeid;
	struct fuse_attr attr;
	__u64 version;
	__u64 kept;
};

#define SF_GRANT_COUNT 0xffffffffULL

/* Nodeids of other daemons are pointers, hashes, numbers: the upper bits of a product mix all. */
#define sf_slot_hash(nodeid) ((__u32)((0x9E3779B97F4A7C15ULL * (nodeid)) >> 40))

/*
 * With 1, of 2,400 nodes in 65,536 slots eighty would be in each other's way. More: fewer are, and
 * what is not there is looked for longer.
 */
#define SF_SLOT_WAYS 4

/* The tag of a nodeid in `grant`; never 0, which marks an unowned slot. */
#define sf_tag(nodeid, slot_bits) (((nodeid) >> (slot_bits)) + 1)

/* Key of `names`: zero-padded, so it needs no length. */
struct sf_name {
	__u64 parent;
	char name[SF_SHORT_NAME];
};

/* Key of `long_names`. */
struct sf_long_name {
	__u64 parent;
	char name[SF_LONG_NAME];
};

/* What of the maps is valid at all: the daemon writes it, and the programs read it. */
struct sf_validity {
	/* What was published under a lower version or generation is void: drops all at once. */
	__u64 from;
	/*
	 * CLOCK_MONOTONIC in ns, from when on nothing is valid; 0: no such time. It also ends what
	 * the maps answer for a daemon that is stopped.
	 */
	__u64 lease;
};

/*
 * Value of both. nodeid 0: there is no such name. `generation` is never used twice by one daemon,
 * so a reader that finds the same element with the same generation before and after saw the name
 * valid all the while, also if the map recycled the element. Of an attached mount it is what
 * `version` is in a slot, and node_generation what its daemon said of the node: the kernel gives an
 * inode up for another number.
 */
struct sf_dentry {
	__u64 nodeid;
	__u64 generation;
	union {
		__u32 kept;  /* 1: the kernel may keep the answer */
		__u64 until; /* attached: CLOCK_MONOTONIC, ns */
	};
	__u64 node_generation; /* attached, else 0 */
};

/*
 * An element of the map `data`, an array that the daemon writes through mmap:
 * one block of a file. Block I of node N is in the set sf_block_set(N, I), if
 * anywhere. It counts only while the node's slot has the same version.
 *
 * seq    as in struct sf_attr_slot.
 * used   set by programs, cleared by the daemon on its search for room.
 * nodeid 0: nothing here.
 */
struct sf_block {
	__u32 seq;
	__u32 used;
	__u64 nodeid;
	__u64 index;
	__u64 version;
	__u64 data[SF_BLOCK / 8]; /* zeros behind the end of the file */
};

/* The set of a block: multiplicative hashing, then scaled to the number of sets. */
#define sf_block_set(nodeid, index, sets)                                                          \
	((__u32)(((((0x9E3779B97F4A7C15ULL * (nodeid)) ^ (index)) * 0xD6E8FEB86659FD93ULL >> 32) * \
		  (sets)) >>                                                                       \
		 32))

/* Key of `replies`: what was asked of a node, zero-padded. */
struct sf_reply_key {
	__u64 nodeid;
	__u32 opcode;
	__u32 reserved;
	char name[SF_REPLY_NAME]; /* GETXATTR's, else empty */
};

/*
 * Value of `replies`: the reply to READLINK, GETXATTR, LISTXATTR or STATFS.
 * Counts while the node's slot has the same xattr_version; STATFS's, and all of
 * an attached mount, until `expires`, in nanoseconds of CLOCK_MONOTONIC.
 * `generation` as in sf_dentry.
 */
struct sf_reply {
	__u64 generation;
	__u64 expires;
	__u32 xattr_version;
	__s32 error; /* 0 or a negative errno */
	__u32 size;  /* bytes used in `bytes` */
	__u32 used;  /* set by STATFS's program */
	__u8 bytes[SF_REPLY_MAX];
};

/* Value of `counters`, per CPU, by opcode. */
struct sf_counter {
	__u64 answered; /* replied in kernel */
	__u64 passed;   /* not cached: left to the daemon */
	__u64 refused;  /* malformed or not understood: left to the daemon */
};

/*
 * Where the running kernel's FUSE keeps what the hook reads, from its BTF.
 * Bytes from the start of the struct; `bit` fields: bits from its start.
 */
struct sf_field {
	__u16 offset;
	__u16 size;
};

struct sf_layout {
	struct sf_field args;       /* struct fuse_args: offset 0, its size */
	struct sf_field nodeid;     /* fuse_args.nodeid */
	struct sf_field opcode;     /* fuse_args.opcode */
	struct sf_field in_numargs; /* fuse_args.in_numargs */
	struct sf_field out_numargs;
	struct sf_field in_args; /* fuse_args.in_args: the whole array */
	struct sf_field out_args;
	struct sf_field in_arg;      /* struct fuse_in_arg: offset 0, its size */
	struct sf_field in_arg_size; /* fuse_in_arg.size */
	struct sf_field in_arg_value;
	struct sf_field out_arg;      /* struct fuse_arg */
	struct sf_field out_arg_size; /* fuse_arg.size */
	struct sf_field out_arg_value;
	struct sf_field in_pages; /* fuse_args.in_pages: offset in bits, 1 bit */
	struct sf_field out_pages;
	struct sf_field out_argvar;
	struct sf_field page_zeroing;
	struct sf_field end;         /* fuse_args.end: (fuse_mount, fuse_args, error) */
	struct sf_field end_mount;   /* its first parameter; size 0: it has none, since 7.2 */
	struct sf_field pages;       /* fuse_args_pages.pages, an array of pages */
	struct sf_field descs;       /* fuse_args_pages.descs, one for each */
	struct sf_field num_pages;   /* fuse_args_pages.num_pages */
	struct sf_field desc;        /* struct fuse_page_desc */
	struct sf_field desc_length; /* fuse_page_desc.length */
	struct sf_field desc_offset;
	struct sf_field mount_fc;       /* fuse_mount.fc */
	struct sf_field mount_entry;    /* fuse_mount.fc_entry */
	struct sf_field dev_fc;         /* fuse_dev.fc; since 7.2 fuse_dev.chan */
	struct sf_field conn_mounts;    /* fuse_conn.mounts */
	struct sf_field conn_chan;      /* fuse_conn.chan; size 0: not in this kernel */
	struct sf_field chan_conn;      /* fuse_chan.conn; likewise */
	struct sf_field conn_connected; /* fuse_conn.connected; since 7.2 fuse_chan.connected */
	/* For attached mounts. */
	struct sf_field conn_user_id;             /* fuse_conn.user_id */
	struct sf_field conn_default_permissions; /* bits */
	struct sf_field conn_writeback_cache;
	struct sf_field conn_passthrough; /* size 0: not in this kernel */
	struct sf_field inode_nodeid;     /* fuse_inode.nodeid */
	struct sf_field inode_nlookup;
	struct sf_field inode_lock;
};

/* What SF_IOC_ATTACH is given a descriptor of. */
enum sf_attach_kind {
	SF_ATTACH_DEVICE, /* /dev/fuse of the caller's own mount, which ends with the attachment */
	SF_ATTACH_MOUNT,  /* the root of any FUSE mount; its daemon goes on without us */
};

/*
 * Argument of SF_IOC_ATTACH. Closing /dev/shortfuse detaches, and with
 * SF_ATTACH_DEVICE aborts the connection: whoever closes it without SF_IOC_DETACH
 * is dying, and may leave a thread behind that waits for a reply from itself.
 */
struct sf_attach {
	__u32 size; /* sizeof(struct sf_attach) */
	__u32 abi_version;
	__s32 fd;   /* what to attach */
	__u32 kind; /* enum sf_attach_kind */
	/* SF_ATTACH_MOUNT: for how long a closed handle is given to whoever opens the file again,
	 * in ns; 0: never, ~0: until it changes. Longer: more opens that the daemon does not see.
	 */
	__u64 open_ns;
	/* So many of them at the most. More: more opens are answered, more files are open in the
	 * daemon, which may have a limit. */
	__u32 idle_max;
	__u32 reserved;
	__s32 prog_fd[SF_OPCODES];  /* program per opcode, -1: none */
	__s32 learn_fd[SF_OPCODES]; /* SF_ATTACH_MOUNT: the learner of each, -1: none */
	struct sf_layout layout;
};

/*
 * Errors: EPERM no CAP_SYS_ADMIN; EPROTO another ABI version; EFAULT;
 * EBUSY this file or this connection is attached already; EBADF fd is not
 * what `kind` says; ENOTCONN it is not mounted or aborted; EINVAL the layout
 * does not fit; EPROTOTYPE a program is not what the hook runs; EOPNOTSUPP the
 * mount has a writeback cache, EXDEV it may open files by FUSE passthrough: changes
 * then do not pass by.
 */
#define SF_IOC_ATTACH _IO('S', 1)
/* Detaches and leaves the connection alone. ENOTCONN: nothing is attached. */
#define SF_IOC_DETACH _IO('S', 2)
/*
 * What became of the requests of an attached mount since it was attached, and what is kept for it.
 * The module counts these: it may refuse what a program answered, and answers some by itself.
 * SF_IOC_FIGURES fills in all but `fd`. Errors: EPERM no CAP_BPF; EFAULT; EBADF fd is no root of a
 * FUSE mount; ENOTCONN it is not attached.
 */
struct sf_figures {
	__s32 fd;      /* the root of the mount; O_PATH will do */
	__u32 handles; /* closed files and directories that are open in the daemon still */
	__u64 owed;    /* lookups that the daemon has not counted */
	__u64 answered[SF_OPCODES];
	__u64 asked[SF_OPCODES]; /* of the daemon */
};

#define SF_IOC_FIGURES _IO('S', 3)
#define SF_DEVICE "shortfuse"

#endif
