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
	/* Raised with every change of a struct below; module and daemon must agree. */
	SF_ABI_VERSION = 1,

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

	/* Longest reply that a program can give: struct fuse_entry_out. */
	SF_OUT_MAX = 128,

	/*
	 * Names up to this many bytes live in the map `names`, longer ones in
	 * `long_names`. Raising it costs hashing and memory for every short name.
	 */
	SF_SHORT_NAME = 32,
	SF_LONG_NAME = 256,
};

/* What a program returns. */
enum sf_verdict {
	SF_PASS = 0,   /* ask the daemon */
	SF_ANSWER = 1, /* sf_ctx.error and sf_ctx.out are the reply */
};

/*
 * One request, as the hook shows it to the program of its opcode. The program
 * reads opcode .. out_size and in, and writes error and out.
 */
struct sf_ctx {
	__u64 nodeid;   /* the node the request is about (LOOKUP: the parent) */
	__u32 opcode;   /* enum fuse_opcode */
	__u32 in_size;  /* bytes used in `in`, zeros follow: see SF_IN_SHORT */
	__u32 out_size; /* bytes the kernel wants in `out` */
	__s32 error;    /* 0 or a negative errno; `out` counts only if 0 */
	__u64 reserved;
	__u8 in[SF_IN_MAX]; /* all in_args, one behind the other */
	__u8 out[SF_OUT_MAX];
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
 */
struct sf_attr_slot {
	__u64 seq;
	__u64 grant;
	__u64 nodeid;
	struct fuse_attr attr;
	__u64 spare[2]; /* to two cache lines */
};

#define SF_GRANT_COUNT 0xffffffffULL

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

/*
 * Value of both. nodeid 0: there is no such name. `generation` is never used twice by one daemon,
 * so a reader that finds the same element with the same generation before and after saw the name
 * valid all the while, also if the map recycled the element.
 */
struct sf_dentry {
	__u64 nodeid;
	__u64 generation;
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
	struct sf_field mount_fc;       /* fuse_mount.fc */
	struct sf_field mount_entry;    /* fuse_mount.fc_entry */
	struct sf_field dev_fc;         /* fuse_dev.fc */
	struct sf_field conn_mounts;    /* fuse_conn.mounts */
	struct sf_field conn_connected; /* fuse_conn.connected */
};

/* Argument of SF_IOC_ATTACH. Closing /dev/shortfuse detaches. */
struct sf_attach {
	__u32 size; /* sizeof(struct sf_attach) */
	__u32 abi_version;
	__s32 fuse_fd; /* the daemon's open /dev/fuse */
	__u32 reserved;
	__s32 prog_fd[SF_OPCODES]; /* program per opcode, -1: none */
	struct sf_layout layout;
	__u32 reserved2;
};

/*
 * Errors: EPERM no CAP_SYS_ADMIN; EPROTO another ABI version; EFAULT;
 * EBUSY this file or this connection is attached already; EBADF fuse_fd is
 * not /dev/fuse; ENOTCONN it is not mounted or aborted; EINVAL the layout
 * does not fit; EPROTOTYPE a program is not what the hook runs.
 */
#define SF_IOC_ATTACH _IO('S', 1)
#define SF_DEVICE "shortfuse"

#endif
