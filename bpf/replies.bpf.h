/* SPDX-License-Identifier: GPL-2.0 */
/* READLINK, GETXATTR, LISTXATTR and STATFS: short replies, stored as a whole. */
#ifndef SHORTFUSE_REPLIES_BPF_H
#define SHORTFUSE_REPLIES_BPF_H

#include <linux/errno.h>
#include "maps.bpf.h"
#include "slot.bpf.h"

/*
 * Copies the reply to `key` into the context, at most SF_REPLY_MAX bytes. Valid
 * only if the same element has the same generation before and after (as in
 * answer_lookup), and has the node's current xattr_version or, for STATFS and on attached mounts,
 * has not expired.
 * Returns its size or a negative errno; *valid is 0 for a miss.
 */
static __always_inline long copy_reply(struct sf_ctx *ctx, const struct sf_reply_key *key,
				       int *valid)
{
	volatile __u64 *out = (volatile __u64 *)ctx->out, *bytes;
	struct sf_reply *reply = bpf_map_lookup_elem(&replies, key), *again;
	struct sf_attr_slot *slot;
	__u64 generation;
	__u32 seq = 0;
	long result;

	*valid = 0;
	if (!reply)
		return 0;
	generation = READ_ONCE(reply->generation);
	barrier();
	slot = slot_of(key->nodeid);
	if (!slot)
		return 0;
	if (key->opcode == FUSE_STATFS || is_attached_mount()) {
		if (READ_ONCE(reply->expires) < bpf_ktime_get_ns())
			return 0;
	} else if (!slot_begin(slot, key->nodeid, &seq) ||
		   READ_ONCE(slot->xattr_version) != READ_ONCE(reply->xattr_version)) {
		return 0;
	}
	bytes = (volatile __u64 *)reply->bytes;
#pragma unroll
	for (int i = 0; i < SF_REPLY_MAX / 8; i++)
		out[i] = bytes[i];
	result = READ_ONCE(reply->error);
	if (!result)
		result = READ_ONCE(reply->size);
	barrier();
	/* Read through reply: 6.1 does not see that an equal `again` is not NULL. */
	again = bpf_map_lookup_elem(&replies, key);
	if (again != reply || READ_ONCE(reply->generation) != generation)
		return 0;
	if (key->opcode == FUSE_STATFS)
		WRITE_ONCE(reply->used, 1);
	ctx->cookie = generation;
	*valid = key->opcode == FUSE_STATFS || is_attached_mount() || slot_is_same(slot, seq);
	return result;
}

SEC("syscall")
int sf_readlink(struct sf_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->nodeid, .opcode = FUSE_READLINK};
	long result;
	int valid;

	if (ctx->opcode != FUSE_READLINK || ctx->in_size != 0)
		return refuse(FUSE_READLINK);
	result = copy_reply(ctx, &key, &valid);
	if (!valid || result <= 0 || result > ctx->out_size)
		return count(FUSE_READLINK, SF_PASS);
	ctx->out_size = result;
	ctx->error = 0;
	return count(FUSE_READLINK, SF_ANSWER);
}

SEC("syscall")
int sf_statfs(struct sf_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->nodeid, .opcode = FUSE_STATFS};
	int valid;

	if (ctx->opcode != FUSE_STATFS || ctx->out_size != sizeof(struct fuse_statfs_out))
		return refuse(FUSE_STATFS);
	if (copy_reply(ctx, &key, &valid) != sizeof(struct fuse_statfs_out) || !valid)
		return count(FUSE_STATFS, SF_PASS);
	ctx->error = 0;
	return count(FUSE_STATFS, SF_ANSWER);
}

/* With size 0 the request is only for the size, and the reply has a fixed length. */
static __always_inline int answer_xattr(struct sf_ctx *ctx, const struct sf_reply_key *key)
{
	struct fuse_getxattr_in *in = (void *)ctx->in;
	volatile struct fuse_getxattr_out *out = (void *)ctx->out;
	__u32 wanted = in->size;
	long result;
	int valid;

	if (ctx->out_size != (wanted ? wanted : sizeof(*out)))
		return refuse(key->opcode);
	result = copy_reply(ctx, key, &valid);
	if (!valid)
		return count(key->opcode, SF_PASS);
	if (result < 0) {
		ctx->error = result;
	} else if (!wanted) {
		out->size = result;
		out->padding = 0;
		ctx->error = 0;
	} else if (result > wanted) {
		ctx->error = -ERANGE;
	} else {
		ctx->out_size = result;
		ctx->error = 0;
	}
	return count(key->opcode, SF_ANSWER);
}

SEC("syscall")
int sf_getxattr(struct sf_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->nodeid, .opcode = FUSE_GETXATTR};

	/* A name is at least one byte, and its NUL is counted too. */
	if (ctx->opcode != FUSE_GETXATTR || ctx->in_size < sizeof(struct fuse_getxattr_in) + 2 ||
	    ctx->in_size > SF_IN_MAX)
		return refuse(FUSE_GETXATTR);
	if (ctx->in_size > sizeof(struct fuse_getxattr_in) + SF_REPLY_NAME)
		return count(FUSE_GETXATTR, SF_PASS);
	copy_words(key.name, ctx->in + sizeof(struct fuse_getxattr_in), SF_REPLY_NAME);
	return answer_xattr(ctx, &key);
}

SEC("syscall")
int sf_listxattr(struct sf_ctx *ctx)
{
	struct sf_reply_key key = {.nodeid = ctx->nodeid, .opcode = FUSE_LISTXATTR};

	if (ctx->opcode != FUSE_LISTXATTR || ctx->in_size != sizeof(struct fuse_getxattr_in))
		return refuse(FUSE_LISTXATTR);
	return answer_xattr(ctx, &key);
}

#endif
