/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attached mounts: the replies of their daemon go into the maps, even if something changed
 * meanwhile: before an entry is used, the module checks whether something has changed since its
 * request was sent (sf_ctx.cookie). A reply that expires at once only removes what was learned
 * before. Not loaded for our own mounts, whose daemon writes the maps.
 */
#ifndef SHORTFUSE_LEARN_BPF_H
#define SHORTFUSE_LEARN_BPF_H

#include <linux/errno.h>
#include "age.bpf.h"
#include "maps.bpf.h"
#include "slot.bpf.h"

#define S_IFMT 0170000
#define S_IFDIR 0040000

/*
 * Something was kept. Until then nothing has to be removed either: with time-outs of 0 no map is
 * accessed.
 */
__u64 has_learned SEC(".data.own");

/* What all map entries of a reply have in common. */
struct lesson {
	__u64 learned; /* sf_ctx.cookie */
	__u64 asked;
};

/* The end of a reply that is valid for `valid` ns according to the daemon. */
static __always_inline __u64 until(const struct lesson *lesson, __u64 valid)
{
	if (config.policy == SF_POLICY_EXCLUSIVE)
		return FOREVER;
	if (config.policy == SF_POLICY_TTL)
		valid = config.ttl_ns;
	return valid >= FOREVER - lesson->asked ? FOREVER : lesson->asked + valid;
}

/* For replies without a time-out in FUSE; not valid until the daemon has given one. */
static __always_inline __u64 until_own(const struct lesson *lesson)
{
	return until(lesson, shortest_valid == FOREVER ? 0 : shortest_valid);
}

static __always_inline void note_valid(__u64 valid, int exists)
{
	/* A race may lose a shorter one for a moment: the next reply has it again. */
	if (valid < shortest_valid)
		shortest_valid = valid;
	if (exists && valid < shortest_kept)
		shortest_kept = valid;
}

/* Whether something that is valid until `end` can answer anything. */
static __always_inline int is_lasting(const struct lesson *lesson, __u64 end)
{
	if (end <= lesson->asked)
		return 0;
	if (!has_learned)
		has_learned = 1;
	return 1;
}

/*
 * Puts attributes into the slot of nodeid, whichever node has it. Does nothing while another CPU
 * writes it. `attr` is in the context. Returns SF_LEARNED if they may answer something.
 */
static __always_inline int learn_attr(const struct lesson *lesson, __u64 nodeid,
				      const volatile struct fuse_attr *attr, __u64 valid)
{
	__u64 end = until(lesson, valid);
	struct sf_attr_slot *slot;
	__u32 seq;
	int lasts;

	if (!nodeid)
		return 0;
	note_valid(valid, 1);
	/* The daemon may have another node for another name of the file: its changes are not seen.
	 */
	if (attr->nlink > 1 && (attr->mode & S_IFMT) != S_IFDIR &&
	    valid < FOREVER - lesson->asked && lesson->asked + valid < end)
		end = lesson->asked + valid;
	lasts = is_lasting(lesson, end);
	if (!lasts && !has_learned)
		return 0;
	slot = lasts ? slot_for(nodeid, lesson->asked >> 4) : slot_of(nodeid);
	if (!slot || (!lasts && READ_ONCE(slot->nodeid) != nodeid))
		return 0;
	seq = READ_ONCE(slot->seq);
	if (seq & 1 || __sync_val_compare_and_swap(&slot->seq, seq, seq + 1) != seq)
		return 0;
#pragma unroll
	for (int i = 0; i < ATTR_WORDS; i++)
		((volatile __u64 *)&slot->attr)[i] = ((const volatile __u64 *)attr)[i];
	WRITE_ONCE(slot->attr.flags, 0);
	WRITE_ONCE(slot->version, lesson->learned);
	WRITE_ONCE(slot->kept, end);
	WRITE_ONCE(slot->nodeid, nodeid);
	barrier();
	__sync_fetch_and_add(&slot->seq, 1);
	return lasts ? SF_LEARNED : 0;
}

static __always_inline void learn_name(void *map, const void *key, const struct sf_dentry *dentry,
				       int lasts)
{
	if (lasts)
		bpf_map_update_elem(map, key, dentry, BPF_ANY);
	else
		bpf_map_delete_elem(map, key);
}

SEC("syscall")
int sf_learn_lookup(struct sf_learn_ctx *ctx)
{
	volatile struct fuse_entry_out *out = (void *)ctx->head.out;
	struct lesson lesson = {ctx->head.cookie, ctx->asked};
	struct sf_dentry dentry = {.generation = lesson.learned};
	__u32 size = ctx->head.in_size;
	int lasts, learned = 0;
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
		note_valid(valid, dentry.nodeid != 0);
		learned = learn_attr(&lesson, dentry.nodeid, &out->attr,
				     valid_ns(out->attr_valid, out->attr_valid_nsec));
	}
	lasts = is_lasting(&lesson, dentry.until);
	if (!lasts && !has_learned)
		return 0;
	if (size <= SF_SHORT_NAME + 1) {
		struct sf_name key = {.parent = ctx->head.nodeid};

		copy_words(key.name, ctx->head.in, sizeof(key.name));
		learn_name(&names, &key, &dentry, lasts);
	} else {
		struct sf_long_name key = {.parent = ctx->head.nodeid};

		copy_words(key.name, ctx->head.in, sizeof(key.name));
		learn_name(&long_names, &key, &dentry, lasts);
	}
	return lasts ? SF_LEARNED : learned;
}

SEC("syscall")
int sf_learn_getattr(struct sf_learn_ctx *ctx)
{
	volatile struct fuse_attr_out *out = (void *)ctx->head.out;
	struct lesson lesson = {ctx->head.cookie, ctx->asked};

	if (ctx->head.error)
		return 0;
	return learn_attr(&lesson, ctx->head.nodeid, &out->attr,
			  valid_ns(out->attr_valid, out->attr_valid_nsec));
}

static __always_inline int learn_reply(struct sf_learn_ctx *ctx, const struct sf_reply_key *key)
{
	struct lesson lesson = {ctx->head.cookie, ctx->asked};
	struct sf_reply reply = {
		.generation = lesson.learned,
		.expires = until_own(&lesson),
		.error = ctx->head.error,
		.size = ctx->head.out_size,
	};

	if (reply.size > SF_REPLY_MAX)
		return 0;
	if (!is_lasting(&lesson, reply.expires)) {
		if (has_learned)
			bpf_map_delete_elem(&replies, key);
		return 0;
	}
	copy_words((char *)reply.bytes, ctx->head.out, SF_REPLY_MAX);
	bpf_map_update_elem(&replies, key, &reply, BPF_ANY);
	return SF_LEARNED;
}

SEC("syscall")
int sf_learn_statfs(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_STATFS};

	return ctx->head.error ? 0 : learn_reply(ctx, &key);
}

SEC("syscall")
int sf_learn_readlink(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_READLINK};

	return ctx->head.error ? 0 : learn_reply(ctx, &key);
}

/* Missing attributes, and values that were requested: with size 0 only the length was. */
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
	return learn_reply(ctx, &key);
}

SEC("syscall")
int sf_learn_listxattr(struct sf_learn_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->head.nodeid, .opcode = FUSE_LISTXATTR};

	return is_xattr_reply(ctx) ? learn_reply(ctx, &key) : 0;
}

#endif
