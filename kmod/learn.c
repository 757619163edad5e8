// SPDX-License-Identifier: GPL-2.0
/*
 * What the daemon of an attached mount replied is given to a program, which keeps it in the maps.
 * In functions of their own: the path of a request that is only sent needs no stack for them.
 */
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/rcupdate_trace.h>
#include <linux/slab.h>
#include "compat.h"
#include "foreign.h"

/* The reply to `args`, if it is one that programs learn from. */
static bool sf_gather_reply(struct sf_ctx *ctx, struct fuse_args *args, ssize_t result)
{
	const void *out = SF_AT(args, out_args);

	ctx->error = min_t(ssize_t, result, 0);
	ctx->out_size = 0;
	if (result < 0)
		return true;
	if (*(u8 *)SF_AT(args, out_numargs) != 1)
		return false;
	ctx->out_size = *(u32 *)SF_AT(out, out_arg_size);
	if (ctx->out_size > SF_OUT_MAX)
		return false;
	if (sf_flag(args, sf_layout.out_pages))
		return sf_pages_get(args, ctx->out, ctx->out_size);
	memcpy(ctx->out, *(void **)SF_AT(out, out_arg_value), ctx->out_size);
	return true;
}

void sf_learn(struct sf_foreign *foreign, struct fuse_args *args, ssize_t result, u64 since,
	      u64 asked)
{
	u32 opcode = *(u32 *)SF_AT(args, opcode);
	struct bpf_prog *prog = opcode < SF_OPCODES ? foreign->learners[opcode] : NULL;
	struct fuse_entry_out *entry;
	/* As in sf_run(). */
	struct sf_learn_ctx ctx __uninitialized __aligned(8);
	bool is_kept;

	if (!prog || !sf_serves(foreign))
		return;
	if (!sf_gather(&ctx.head, args) || !sf_gather_reply(&ctx.head, args, result))
		return;
	/* The program may copy more than the reply has. */
	sf_zero(ctx.head.out + ctx.head.out_size, ctx.head.out + SF_OUT_MAX);
	ctx.head.nodeid = *(u64 *)SF_AT(args, nodeid);
	ctx.head.opcode = opcode;
	ctx.head.cookie = since;
	ctx.asked = asked;
	rcu_read_lock_trace();
	is_kept = bpf_prog_run_pin_on_cpu(prog, &ctx) == SF_LEARNED;
	rcu_read_unlock_trace();
	if (!is_kept)
		return;
	if (!READ_ONCE(foreign->has_learned))
		WRITE_ONCE(foreign->has_learned, true);
	entry = (void *)ctx.head.out;
	if (opcode == FUSE_LOOKUP && !result && entry->nodeid)
		sf_node_seen(foreign, entry->nodeid);
}

static bool sf_is_dots(const char *name, u32 length)
{
	return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

/* An entry of READDIRPLUS, of which the daemon has counted a lookup, as the reply to LOOKUP. */
static void sf_learn_entry(struct sf_foreign *foreign, struct sf_learn_ctx *ctx,
			   const struct fuse_direntplus *entry)
{
	u32 length = entry->dirent.namelen;
	u64 nodeid = entry->entry_out.nodeid;

	/* Without a nodeid the daemon says nothing of it. */
	if (!nodeid || sf_is_dots(entry->dirent.name, length))
		return;
	memcpy(ctx->head.in, entry->dirent.name, length);
	memset(ctx->head.in + length, 0, SF_IN_MAX - length);
	ctx->head.in_size = length + 1;
	/* It must not take the place of what was learned after a change. */
	if (!sf_unchanged(foreign,
			  sf_stripe_of_name(ctx->head.nodeid, ctx->head.in, ctx->head.in_size),
			  ctx->head.cookie) ||
	    !sf_unchanged(foreign, sf_stripe_of(SF_NODE, nodeid), ctx->head.cookie))
		return;
	memcpy(ctx->head.out, &entry->entry_out, sizeof(entry->entry_out));
	if (bpf_prog_run_pin_on_cpu(foreign->learners[FUSE_LOOKUP], ctx) != SF_LEARNED)
		return;
	if (!READ_ONCE(foreign->has_learned))
		WRITE_ONCE(foreign->has_learned, true);
	sf_node_seen(foreign, nodeid);
}

/*
 * The kernel has names and attributes from READDIRPLUS, and does not ask for what it has: a first
 * LOOKUP of each would come when their time is over. A daemon may have read the directory when
 * it was opened, so they are as old as that.
 */
void sf_learn_entries(struct sf_foreign *foreign, struct fuse_args *args, ssize_t size)
{
	const u64 *number = sf_in(args, 0, sizeof(*number));
	const struct fuse_direntplus *entry;
	struct sf_learn_ctx *ctx;
	u8 *reply;
	u32 step;

	if (size <= 0 || size > PAGE_SIZE || !number || !foreign->learners[FUSE_LOOKUP] ||
	    !sf_serves(foreign))
		return;
	reply = kmalloc(PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL | __GFP_NOWARN);
	if (!reply || !ctx || !sf_pages_get(args, reply, size))
		goto out;
	ctx->head.nodeid = *(u64 *)SF_AT(args, nodeid);
	ctx->head.opcode = FUSE_LOOKUP;
	ctx->head.out_size = sizeof(struct fuse_entry_out);
	if (!sf_handle_age(foreign, ctx->head.nodeid, *number, &ctx->head.cookie, &ctx->asked))
		goto out;
	rcu_read_lock_trace();
	for (u32 at = 0; size - at >= FUSE_NAME_OFFSET_DIRENTPLUS; at += step) {
		entry = (void *)(reply + at);
		step = FUSE_DIRENTPLUS_SIZE(entry);
		/* As fs/fuse. */
		if (!entry->dirent.namelen || entry->dirent.namelen > NAME_MAX ||
		    step > size - at || memchr(entry->dirent.name, '/', entry->dirent.namelen))
			break;
		sf_learn_entry(foreign, ctx, entry);
	}
	rcu_read_unlock_trace();
out:
	kfree(ctx);
	kfree(reply);
}
