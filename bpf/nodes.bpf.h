/* SPDX-License-Identifier: GPL-2.0 */
/* LOOKUP and GETATTR: from names and attributes. */
#ifndef SHORTFUSE_NODES_BPF_H
#define SHORTFUSE_NODES_BPF_H

#include <linux/errno.h>
#include "fault.bpf.h"
#include "maps.bpf.h"
#include "slot.bpf.h"

/*
 * The name is valid only if the same element has the same value before and
 * after the attributes were copied (struct sf_dentry explains why). So name and
 * attributes were valid at the same moment.
 */
static __always_inline int answer_lookup(struct sf_ctx *ctx, void *map, const void *key)
{
	volatile struct fuse_entry_out *out = (void *)ctx->out;
	struct sf_dentry *dentry, *again;
	struct sf_attr_slot *slot;
	struct age age = {FOREVER, FOREVER};
	__u64 nodeid, generation, node_generation, left = 0;
	__u32 kept, now = ticks();

	dentry = bpf_map_lookup_elem(map, key);
	if (!dentry)
		return SF_PASS;
	fault_pause();
	generation = READ_ONCE(dentry->generation);
	nodeid = READ_ONCE(dentry->nodeid);
	node_generation = READ_ONCE(dentry->node_generation);
	kept = READ_ONCE(dentry->kept) ? config.entry_valid : 0;
	if (is_attached_mount())
		age_add(&age, generation, READ_ONCE(dentry->until));
	if (!is_valid(generation))
		return SF_PASS;

	slot = slot_of(nodeid);
	if (!slot || (nodeid && !slot_copy(slot, nodeid, (volatile __u64 *)&out->attr, &age)))
		return SF_PASS;

	/* Read through dentry: 6.1 does not see that an equal `again` is not NULL. */
	again = bpf_map_lookup_elem(map, key);
	if (!fault_skips_generation() &&
	    (again != dentry || READ_ONCE(dentry->generation) != generation ||
	     READ_ONCE(dentry->nodeid) != nodeid ||
	     READ_ONCE(dentry->node_generation) != node_generation))
		return SF_PASS;
	if (is_attached_mount()) {
		if (!age_left(&age, &left))
			return SF_PASS;
		ctx->cookie = age.learned;
	}
	if (!nodeid && !kept) {
		ctx->error = -ENOENT;
		return SF_ANSWER;
	}
	/* Counted before it is returned: from here the daemon cannot free the node. On an attached
	 * mount the module counts. */
	if (nodeid && !is_attached_mount() && !slot_grant(slot, nodeid))
		return SF_PASS;

	/* A nodeid of 0: the name does not exist, and the kernel may keep that. */
	out->nodeid = nodeid;
	out->generation = node_generation;
	out->entry_valid = kept;
	out->attr_valid = nodeid ? attr_valid(slot, out->attr.flags, now) : 0;
	out->attr.flags = 0;
	out->entry_valid_nsec = 0;
	out->attr_valid_nsec = 0;
	if (is_attached_mount()) {
		out->entry_valid = out->attr_valid = left / NSEC_PER_SEC;
		out->entry_valid_nsec = out->attr_valid_nsec = left % NSEC_PER_SEC;
	}
	ctx->error = 0;
	return SF_ANSWER;
}

SEC("syscall")
int sf_lookup(struct sf_ctx *ctx)
{
	/* A name is at least one byte, and its NUL is counted too. */
	if (ctx->opcode != FUSE_LOOKUP || ctx->out_size != sizeof(struct fuse_entry_out) ||
	    ctx->in_size < 2 || ctx->in_size > SF_LONG_NAME)
		return refuse(FUSE_LOOKUP);

	if (ctx->in_size <= SF_SHORT_NAME + 1) {
		struct sf_name key = {.parent = ctx->nodeid};

		copy_words(key.name, ctx->in, sizeof(key.name));
		return count(FUSE_LOOKUP, answer_lookup(ctx, &names, &key));
	} else {
		struct sf_long_name key = {.parent = ctx->nodeid};

		copy_words(key.name, ctx->in, sizeof(key.name));
		return count(FUSE_LOOKUP, answer_lookup(ctx, &long_names, &key));
	}
}

SEC("syscall")
int sf_getattr(struct sf_ctx *ctx)
{
	volatile struct fuse_attr_out *out = (void *)ctx->out;
	struct age age = {FOREVER, FOREVER};
	struct sf_attr_slot *slot;
	__u32 now = ticks();
	__u64 left = 0;

	/* Open or not (FUSE_GETATTR_FH), a node has one set of attributes. */
	if (ctx->opcode != FUSE_GETATTR || ctx->out_size != sizeof(struct fuse_attr_out) ||
	    ctx->in_size != sizeof(struct fuse_getattr_in))
		return refuse(FUSE_GETATTR);

	slot = slot_of(ctx->nodeid);
	if (!slot || !slot_copy(slot, ctx->nodeid, (volatile __u64 *)&out->attr, &age))
		return count(FUSE_GETATTR, SF_PASS);
	if (is_attached_mount() && !age_left(&age, &left))
		return count(FUSE_GETATTR, SF_PASS);

	out->attr_valid = attr_valid(slot, out->attr.flags, now);
	out->attr.flags = 0;
	out->attr_valid_nsec = 0;
	out->dummy = 0;
	if (is_attached_mount()) {
		ctx->cookie = age.learned;
		out->attr_valid = left / NSEC_PER_SEC;
		out->attr_valid_nsec = left % NSEC_PER_SEC;
	}
	ctx->error = 0;
	return count(FUSE_GETATTR, SF_ANSWER);
}

#endif
