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
	/* Increment it with every change below; module and daemon must agree. */
	SF_ABI_VERSION = 8,

	/* FUSE opcodes known to the hook: 0 .. SF_OPCODES - 1. */
	SF_OPCODES = 64,

	/*
	 * Longest request that the hook passes to a program (a 255-byte name with
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

	/* Longest reply except READ's: struct fuse_entry_out. */
	SF_OUT_MAX = 128,

	/*
	 * Bytes of file data in one element of the map `data`, and the most that
	 * one run of READ's program answers. Raising it wastes more after the
	 * end of small files.
	 */
	SF_BLOCK = 4096,

	/*
	 * The number of elements of `data` that a block may be in. A READ that
	 * misses reads them all; lowering it evicts hot blocks that collide.
	 */
	SF_WAYS = 8,

	/*
	 * Names up to this many bytes are in the map `names`, longer ones in
	 * `long_names`. Raising it costs hashing and memory for every short name.
	 */
	SF_SHORT_NAME = 32,
	SF_LONG_NAME = 256,

	/*
	 * Names of extended attributes up to this long (with their NUL), and
	 * values up to this long, are in `replies`. Raising either costs memory
	 * for every entry; the name must fit SF_IN_SHORT after a getxattr_in.
	 */
	SF_REPLY_NAME = 32,
	SF_REPLY_MAX = 96,
};

/* sf_attr_slot.attr.flags: otherwise the tick of the first answer, 0: none yet. */
#define SF_TOLD_ALWAYS 1U         /* the kernel may keep them at once */
#define SF_TOLD_NEVER 0xffffffffU /* it must not */

/*
 * Set in the file handle of every OPEN answered in the kernel; the lower bits are the
 * version of the node at that moment. The daemon has nothing open for such a handle and
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
 * One request, as the hook passes it to the program of its opcode. The program
 * reads nodeid .. out_size and in, and writes error and out; it writes out_size only
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
 * The context of a learner: a request of an attached mount that its daemon has answered; `out` is
 * the reply and out_size its length.
 */
struct sf_learn_ctx {
	struct sf_ctx head; /* cookie: the connection's count of changes before it was sent */
	__u64 asked;        /* CLOCK_MONOTONIC in nanoseconds, before it was sent */
};

/* How long a reply of another daemon is valid, on an attached mount. */
enum sf_policy {
	SF_POLICY_MIRROR,    /* our own daemon keeps the maps exact */
	SF_POLICY_OWN,       /* as long as the daemon said itself */
	SF_POLICY_TTL,       /* for ttl_ns, unless a change passes by */
	SF_POLICY_EXCLUSIVE, /* until a change passes by */
};

/*
 * For READ: run once for each block that the request covers, with that part of
 * the request in `in` (struct fuse_read_in). `block` is the block of the file: each
 * byte is at its offset in the block. Fewer bytes than requested mean the end.
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
 * node N, if present, is in slot N mod slots.
 *
 * seq    odd while the daemon writes; a reader that finds it odd or changed
 *        discards its copy.
 * grant  LOOKUPs answered in the kernel that the daemon has not counted yet:
 *        tag << 32 | count, tag = sf_tag(nodeid). Only the daemon changes the
 *        tag; programs increment the count by compare-and-swap, and only under
 *        the tag of the node that they answer for. So no lookup is lost or added
 *        to another node, whatever happens to the slot meanwhile.
 * nodeid 0: no attributes.
 * version        of the node's data (for a directory: of its names). Never used
 *        twice by one daemon, so what was cached under another version is
 *        void without being changed.
 * xattr_version  the same for its extended attributes; never used twice for
 *        one node.
 * kept   the version that the kernel's own cache of the node is known to
 *        have. For a file: the page cache may be kept at OPEN if this equals
 *        version; programs set it at RELEASE. 0: the daemon has not opened it
 *        yet. For a directory: its listing is in the kernel.
 * attr.flags     without the kernel's meaning (there they are 0): when these
 *        attributes were first returned, or SF_TOLD_*. Programs set it from 0.
 *
 * On an attached mount the programs write it, and a node is in one of the SF_SLOT_WAYS
 * slots around sf_slot_hash(nodeid). Then version is the connection's count of changes before
 * the request was sent, and kept the time (CLOCK_MONOTONIC, ns) at which the
 * attributes expire; grant and xattr_version are not used.
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

/* Nodeids of other daemons may be pointers, hashes, numbers: a product's upper bits mix all. */
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

/* Which map entries are valid at all: the daemon writes it, and the programs read it. */
struct sf_validity {
	/* What was published with a lower version or generation is void: drops all at once. */
	__u64 from;
	/*
	 * CLOCK_MONOTONIC in ns, after which nothing is valid; 0: none. It also applies while the
	 * daemon is stopped.
	 */
	__u64 lease;
};

/*
 * Value of both. nodeid 0: the name does not exist. `generation` is never used twice by one daemon,
 * so if a reader finds the same element with the same generation before and after, the name was
 * valid in between, even if the map recycled the element. On an attached mount it is what
 * `version` is in a slot, and node_generation is the daemon's generation of the node: the kernel
 * drops an inode whose generation changes.
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
 * one block of a file. Block I of node N, if present, is in the set
 * sf_block_set(N, I). It is valid only while the node's slot has the same version.
 *
 * seq    as in struct sf_attr_slot.
 * used   set by programs, cleared by the daemon when it searches for space.
 * nodeid 0: empty.
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

/* Key of `replies`: the request for a node, zero-padded. */
struct sf_reply_key {
	__u64 nodeid;
	__u32 opcode;
	__u32 reserved;
	char name[SF_REPLY_NAME]; /* GETXATTR's, else empty */
};

/*
 * Value of `replies`: the reply to READLINK, GETXATTR, LISTXATTR or STATFS.
 * Valid while the node's slot has the same xattr_version; STATFS's, and all on
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
 * Where the running kernel's FUSE keeps what the hook reads, according to its BTF.
 * In bytes from the start of the struct; for `bit` fields in bits.
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

/* The kind of descriptor that is passed to SF_IOC_ATTACH. */
enum sf_attach_kind {
	SF_ATTACH_DEVICE, /* /dev/fuse of the caller's own mount, which ends with the attachment */
	SF_ATTACH_MOUNT,  /* the root of any FUSE mount; its daemon goes on without us */
};

/*
 * Argument of SF_IOC_ATTACH. Closing /dev/shortfuse detaches, and with
 * SF_ATTACH_DEVICE aborts the connection: a process that closes it without
 * SF_IOC_DETACH is exiting, and may leave a thread that waits for a reply from itself.
 */
struct sf_attach {
	__u32 size; /* sizeof(struct sf_attach) */
	__u32 abi_version;
	__s32 fd;   /* what to attach */
	__u32 kind; /* enum sf_attach_kind */
	/* SF_ATTACH_MOUNT: how long a closed handle is reused when the file is opened again,
	 * in ns; 0: never, ~0: until it changes. Longer: more opens that the daemon does not see.
	 */
	__u64 open_ns;
	/* The maximum number of them. More: more opens are answered, but more files are open in
	 * the daemon, which may have a limit. */
	__u32 idle_max;
	__u32 reserved;
	__s32 prog_fd[SF_OPCODES];  /* program per opcode, -1: none */
	__s32 learn_fd[SF_OPCODES]; /* SF_ATTACH_MOUNT: the learner of each, -1: none */
	struct sf_layout layout;
};

/*
 * Errors: EPERM no CAP_SYS_ADMIN; EPROTO another ABI version; EFAULT;
 * EBUSY this file or this connection is already attached; EBADF fd is not
 * what `kind` says; ENOTCONN it is not mounted or was aborted; EINVAL the layout
 * does not fit; EPROTOTYPE the hook cannot run a program; EOPNOTSUPP the
 * mount has a writeback cache, EXDEV it may open files with FUSE passthrough: with both,
 * some changes do not pass through the module.
 */
#define SF_IOC_ATTACH _IO('S', 1)
/* Detaches and does not affect the connection. ENOTCONN: nothing is attached. */
#define SF_IOC_DETACH _IO('S', 2)
/*
 * How the requests of an attached mount were answered since attaching, and what is kept for it.
 * The module counts these: it may reject a program's answer, and answers some by itself.
 * SF_IOC_FIGURES sets all fields except `fd`. Errors: EPERM no CAP_BPF; EFAULT; EBADF fd is not the
 * root of a FUSE mount; ENOTCONN it is not attached.
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
