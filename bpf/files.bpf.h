/* SPDX-License-Identifier: GPL-2.0 */
/* OPEN, READ, FLUSH and RELEASE, and the same for directories. */
#ifndef SHORTFUSE_FILES_BPF_H
#define SHORTFUSE_FILES_BPF_H

#include <linux/errno.h>
#include "maps.bpf.h"
#include "slot.bpf.h"

/* As in <fcntl.h> and <linux/stat.h>, which do not compile for BPF. */
enum {
	SF_O_ACCMODE = 3,
	SF_O_TRUNC = 01000,
	SF_O_LARGEFILE = 0100000,
	SF_O_NOATIME = 01000000,
	SF_S_IFMT = 0170000,
	SF_S_IFREG = 0100000,
	SF_S_IFDIR = 0040000,
};

/* Terminal ioctls of <asm/ioctls.h>, which isatty(3) and others send for every file. */
enum {
	SF_TCGETS = 0x5401,
	SF_TIOCGPGRP = 0x540F,
	SF_TIOCGWINSZ = 0x5413,
};

/*
 * A quarter at a time, for the common short read. Unrolled by hand, in words: the
 * context needs constant offsets, and the compiler would copy bytes.
 */
#define QUARTER (SF_BLOCK / 4)

static __always_inline void copy_quarter(struct sf_read_ctx *ctx, struct sf_block *block,
					 int quarter, __u32 from, __u32 end)
{
	volatile __u64 *to = ctx->block + quarter * QUARTER / 8;
	volatile __u64 *data = block->data + quarter * QUARTER / 8;

	if (from >= (quarter + 1) * QUARTER || end <= quarter * QUARTER)
		return;
#pragma unroll
	for (int i = 0; i < QUARTER / 8; i++)
		to[i] = data[i];
}

/* Copies from .. end of one version's block. False if it is not in the map as a whole. */
static __always_inline int copy_block(struct sf_read_ctx *ctx, __u64 nodeid, __u64 index,
				      __u64 version, __u32 from, __u32 end)
{
	__u32 first = sf_block_set(nodeid, index, config.data_sets) * SF_WAYS;

	for (__u32 way = 0; way < SF_WAYS; way++) {
		__u32 key = first + way, seq;
		struct sf_block *block = bpf_map_lookup_elem(&data, &key);

		if (!block)
			return 0;
		seq = READ_ONCE(block->seq);
		barrier();
		if (seq & 1 || READ_ONCE(block->nodeid) != nodeid ||
		    READ_ONCE(block->index) != index || READ_ONCE(block->version) != version)
			continue;
		barrier();
		copy_quarter(ctx, block, 0, from, end);
		copy_quarter(ctx, block, 1, from, end);
		copy_quarter(ctx, block, 2, from, end);
		copy_quarter(ctx, block, 3, from, end);
		barrier();
		/* Read first: the cache line of a hot block stays shared between processors. */
		if (!READ_ONCE(block->used))
			WRITE_ONCE(block->used, 1);
		return READ_ONCE(block->seq) == seq;
	}
	return 0;
}

/*
 * The slot must be the same before and after, so size, version and data were valid at the
 * same moment; the cookie is the version, so that all blocks of one request have the
 * same version.
 */
static __always_inline int answer_read(struct sf_read_ctx *ctx)
{
	struct fuse_read_in *in = (void *)ctx->head.in;
	__u64 nodeid = ctx->head.nodeid, offset = in->offset, size, version;
	__u32 from = offset % SF_BLOCK, wanted = ctx->head.out_size, seq;
	struct sf_attr_slot *slot = slot_of(nodeid);

	if (!slot || !slot_begin(slot, nodeid, &seq))
		return SF_PASS;
	size = READ_ONCE(slot->attr.size);
	version = READ_ONCE(slot->version);
	if (ctx->head.cookie && ctx->head.cookie != version)
		return SF_PASS;
	if (offset >= size)
		wanted = 0;
	else if (wanted > size - offset)
		wanted = size - offset;
	if (wanted && !copy_block(ctx, nodeid, offset / SF_BLOCK, version, from, from + wanted))
		return SF_PASS;
	if (!slot_is_same(slot, seq))
		return SF_PASS;
	ctx->head.cookie = version;
	ctx->head.out_size = wanted;
	ctx->head.error = 0;
	return SF_ANSWER;
}

SEC("syscall")
int sf_read(struct sf_read_ctx *ctx)
{
	struct fuse_read_in *in = (void *)ctx->head.in;
	struct sf_counter *counter;
	__u32 opcode = FUSE_READ;
	int verdict;

	if (ctx->head.opcode != FUSE_READ || ctx->head.in_size != sizeof(*in) ||
	    (__s64)in->offset < 0 || ctx->head.out_size > SF_BLOCK - in->offset % SF_BLOCK)
		return refuse(FUSE_READ);
	if (!ctx->head.cookie)
		return count(FUSE_READ, answer_read(ctx));

	/* A later block of a request that has been counted as answered. */
	verdict = answer_read(ctx);
	if (verdict == SF_PASS) {
		counter = bpf_map_lookup_elem(&counters, &opcode);
		if (counter)
			__sync_fetch_and_add(&counter->answered, -1);
		count(FUSE_READ, SF_PASS);
	}
	return verdict;
}

/*
 * OPEN and OPENDIR. A file: only for reading, once the daemon has opened it
 * (slot->kept), and not if it is too large for its data to be kept. A directory: only
 * if the kernel has its listing, so that no READDIR will follow.
 */
static __always_inline int answer_open(struct sf_ctx *ctx, __u32 type)
{
	struct fuse_open_in *in = (void *)ctx->in;
	volatile struct fuse_open_out *out = (void *)ctx->out;
	struct sf_attr_slot *slot = slot_of(ctx->nodeid);
	__u64 version, kept;
	__u32 seq;

	if ((in->flags & SF_O_ACCMODE) || in->flags & (SF_O_TRUNC | SF_O_NOATIME))
		return SF_PASS;
	if (!slot || !slot_begin(slot, ctx->nodeid, &seq) ||
	    (READ_ONCE(slot->attr.mode) & SF_S_IFMT) != type)
		return SF_PASS;
	version = READ_ONCE(slot->version);
	kept = READ_ONCE(slot->kept);
	if (type == SF_S_IFREG) {
		if (!kept || READ_ONCE(slot->attr.size) > config.file_max)
			return SF_PASS;
		out->open_flags =
			kept == version ? FOPEN_NOFLUSH | FOPEN_KEEP_CACHE : FOPEN_NOFLUSH;
	} else {
		if (kept != version)
			return SF_PASS;
		out->open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	}
	/*
	 * Without O_LARGEFILE, which open(2) and execve(2) always set, the kernel
	 * itself opens the file (for an ioctl): it drops no pages, so its release
	 * must not be taken for that of an open that did.
	 */
	out->fh = SF_FH_RESERVED | (in->flags & SF_O_LARGEFILE ? version : 0);
	ctx->error = 0;
	return slot_is_same(slot, seq) ? SF_ANSWER : SF_PASS;
}

SEC("syscall")
int sf_open(struct sf_ctx *ctx)
{
	if (ctx->opcode != FUSE_OPEN || ctx->in_size != sizeof(struct fuse_open_in) ||
	    ctx->out_size != sizeof(struct fuse_open_out))
		return refuse(FUSE_OPEN);
	return count(FUSE_OPEN, answer_open(ctx, SF_S_IFREG));
}

SEC("syscall")
int sf_opendir(struct sf_ctx *ctx)
{
	if (ctx->opcode != FUSE_OPENDIR || ctx->in_size != sizeof(struct fuse_open_in) ||
	    ctx->out_size != sizeof(struct fuse_open_out))
		return refuse(FUSE_OPENDIR);
	return count(FUSE_OPENDIR, answer_open(ctx, SF_S_IFDIR));
}

/*
 * The open has ended, and with it the dropping of the page cache that it may have
 * caused: the kernel's pages have the version of that open or a later one. Versions
 * are never used twice, so a late note is harmless for the node that has the slot by
 * now; unless the daemon has not opened that node (0), which the exchange checks.
 */
static __always_inline void note_kept(__u64 nodeid, __u64 version)
{
	struct sf_attr_slot *slot = slot_of(nodeid);
	__u32 seq;

	if (slot && slot_begin(slot, nodeid, &seq) && READ_ONCE(slot->version) == version) {
		__u64 kept = READ_ONCE(slot->kept);

		if (kept && kept != version)
			__sync_val_compare_and_swap(&slot->kept, kept, version);
	}
}

/* Answers from the handle alone, whatever is in the maps: the daemon has nothing to release. */
SEC("syscall")
int sf_release(struct sf_ctx *ctx)
{
	struct fuse_release_in *in = (void *)ctx->in;
	__u32 opcode = ctx->opcode;

	if ((opcode != FUSE_RELEASE && opcode != FUSE_RELEASEDIR) || ctx->in_size != sizeof(*in))
		return refuse(FUSE_RELEASE);
	if (!(in->fh & SF_FH_RESERVED))
		return count(opcode, SF_PASS);
	if (opcode == FUSE_RELEASE)
		note_kept(ctx->nodeid, in->fh & ~SF_FH_RESERVED);
	ctx->error = 0;
	return count(opcode, SF_ANSWER);
}

/*
 * Rare, since files opened in the kernel need no FLUSH: only kernels without
 * FOPEN_NOFLUSH send it.
 */
SEC("syscall")
int sf_flush(struct sf_ctx *ctx)
{
	struct fuse_flush_in *in = (void *)ctx->in;

	if (ctx->opcode != FUSE_FLUSH || ctx->in_size != sizeof(*in))
		return refuse(FUSE_FLUSH);
	if (!(in->fh & SF_FH_RESERVED))
		return count(FUSE_FLUSH, SF_PASS);
	ctx->error = 0;
	return count(FUSE_FLUSH, SF_ANSWER);
}

/* No file of a FUSE file system is a terminal. */
SEC("syscall")
int sf_ioctl(struct sf_ctx *ctx)
{
	struct fuse_ioctl_in *in = (void *)ctx->in;

	if (ctx->opcode != FUSE_IOCTL || ctx->in_size != sizeof(*in))
		return refuse(FUSE_IOCTL);
	if (in->cmd != SF_TCGETS && in->cmd != SF_TIOCGPGRP && in->cmd != SF_TIOCGWINSZ)
		return count(FUSE_IOCTL, SF_PASS);
	ctx->error = -ENOTTY;
	return count(FUSE_IOCTL, SF_ANSWER);
}

#endif
