/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attached mounts: what their daemon answered goes into the maps. Unconditionally: the
 * module tells whether something has changed since it was asked for (sf_ctx.cookie), when
 * it is to be an answer. Not loaded for our own mounts, whose daemon writes the maps.
 */
#ifndef SHORTFUSE_LEARN_BPF_H
#define SHORTFUSE_LEARN_BPF_H

#include <linux/errno.h>
#include "age.bpf.h"
#include "maps.bpf.h"
#include "slot.bpf.h"

#define S_IFMT 0170000
#define S_IFDIR 0040000

/* The same of what every entry into the maps is made with. */
struct lesson {
	__u64 learned; /* sf_ctx.cookie */
	__u64 asked;
};

/* The end of what is true for `valid` ns by the daemon's word. */
static __always_inline __u64 until(const struct lesson *lesson, __u64 valid)
{
	if (config.policy == SF_POLICY_EXCLUSIVE)
		return FOREVER;
	if (config.policy == SF_POLICY_TTL)
		valid = config.ttl_ns;
	return valid >= FOREVER - lesson->asked ? FOREVER : lesson->asked + valid;
}

/* What FUSE has no time-out for; for nothing until the daemon has given one. */
static __always_inline __u64 until_own(const struct lesson *lesson)
{
	return until(lesson, shortest_valid == FOREVER ? 0 : shortest_valid);
}

static __always_inline void note_valid(__u64 valid)
{
	/* A race loses a shorter one for the moment: the next reply says it again. */
	if (valid < shortest_valid)
		shortest_valid = valid;
}

/*
 * Puts attributes into the slot of nodeid, whoever has it. Does nothing while somebody else
 * writes there. `attr` is in the context.
 */
static __always_inline void learn_attr(const struct lesson *lesson, __u64 nodeid,
				       const volatile struct fuse_attr *attr, __u64 valid)
{
	struct sf_attr_slot *slot = slot_of(nodeid);
	__u64 end = until(lesson, valid);
	__u32 seq;

	if (!slot || !nodeid)
		return;
	note_valid(valid);
	/* Another name of the file may be another node for the daemon: changes by it are not seen.
	 */
	if (attr->nlink > 1 && (attr->mode & S_IFMT) != S_IFDIR &&
	    valid < FOREVER - lesson->asked && lesson->asked + valid < end)
		end = lesson->asked + valid;
	seq = READ_ONCE(slot->seq);
	if (seq & 1 || __sync_val_compare_and_swap(&slot->seq, seq, seq + 1) != seq)
		return;
#pragma unroll
	for (int i = 0; i < ATTR_WORDS; i++)
		((volatile __u64 *)&slot->attr)[i] = ((const volatile __u64 *)attr)[i];
	WRITE_ONCE(slot->attr.flags, 0);
	WRITE_ONCE(slot->version, lesson->learned);
	WRITE_ONCE(slot->kept, end);
	WRITE_ONCE(slot->nodeid, nodeid);
	barrier();
	__sync_fetch_and_add(&slot->seq, 1);
}

SEC("syscall")
int sf_learn_lookup(struct sf_learn_ctx *ctx)
{
	volatile struct fuse_entry_out *out = (void *)ctx->head.out;
	struct lesson lesson = {ctx->head.cookie, ctx->asked};
	struct sf_dentry dentry = {.generation = lesson.learned};
	__u32 size = ctx->head.in_size;
	__u64 valid;

	if (size < 2 || size > SF_LONG_NAME || (ctx->head.error && ctx->head.error != -ENOENT))
		return 0;
	if (ctx->head.error) {
		dentry.until = until_own(&lesson);
	} else {
		dentry.nodeid = out->nodeid;
		dentry.node_generation = out->generation;
		valid = valid_ns(out->entry_valid, out->entry_valid_nsec);
		dentry.until = until(&lesson, valid);
		note_valid(valid);
		learn_attr(&lesson, dentry.nodeid, &out->attr,
			   valid_ns(out->attr_valid, out->attr_valid_nsec));
	}
	if (size <= SF_SHORT_NAME + 1) {
		struct sf_name key = {.parent = ctx->head.nodeid};

		copy_words(key.name, ctx->head.in, sizeof(key.name));
		bpf_map_update_elem(&names, &key, &dentry, BPF_ANY);
	} else {
		struct sf_long_name key = {.parent = ctx->head.nodeid};

		copy_words(key.name, ctx->head.in, sizeof(key.name));
		bpf_map_update_elem(&long_names, &key, &dentry, BPF_ANY);
	}
	return 0;
}

SEC("syscall")
int sf_learn_getattr(struct sf_learn_ctx *ctx)
{
	volatile struct fuse_attr_out *out = (void *)ctx->head.out;
	struct lesson lesson = {ctx->head.cookie, ctx->asked};

	if (!ctx->head.error)
		learn_attr(&lesson, ctx->head.nodeid, &out->attr,
			   valid_ns(out->attr_valid, out->attr_valid_nsec));
	return 0;
}

static __always_inline void learn_reply(struct sf_learn_ctx *ctx, const struct sf_reply_key *key)
{
	struct lesson lesson = {ctx->head.cookie, ctx->asked};
	struct sf_reply reply = {
		.generation = lesson.learned,
		.expires = until_own(&lesson),
		.error = ctx->head.error,
		.size = ctx->head.out_size,
	};

	if (reply.size > SF_REPLY_MAX)
		return;
	copy_words((char *)reply.bytes, ctx->head.out, SF_REPLY_MAX);
	bpf_map_update_elem(&replies, key, &reply, BPF_ANY);
}

SEC("syscall")
int sf_learn_statfs(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_STATFS};

	if (!ctx->head.error)
		learn_reply(ctx, &key);
	return 0;
}

SEC("syscall")
int sf_learn_readlink(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_READLINK};

	if (!ctx->head.error)
		learn_reply(ctx, &key);
	return 0;
}

/* What there is not, and values that were asked for: with size 0 only a length was. */
static __always_inline int is_xattr_reply(const struct sf_learn_ctx *ctx)
{
	const struct fuse_getxattr_in *in = (const void *)ctx->head.in;

	if (ctx->head.error)
		return ctx->head.error == -ENODATA || ctx->head.error == -EOPNOTSUPP;
	return in->size;
}

SEC("syscall")
int sf_learn_getxattr(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_GETXATTR};

	if (ctx->head.in_size < sizeof(struct fuse_getxattr_in) + 2 ||
	    ctx->head.in_size > sizeof(struct fuse_getxattr_in) + SF_REPLY_NAME ||
	    !is_xattr_reply(ctx))
		return 0;
	copy_words(key.name, ctx->head.in + sizeof(struct fuse_getxattr_in), SF_REPLY_NAME);
	learn_reply(ctx, &key);
	return 0;
}

SEC("syscall")
int sf_learn_listxattr(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_LISTXATTR};

	if (is_xattr_reply(ctx))
		learn_reply(ctx, &key);
	return 0;
}

#endif
