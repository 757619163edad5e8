// SPDX-License-Identifier: GPL-2.0
/* One request's way through a program: gather, run, check, copy out. */
#include <linux/filter.h>
#include <linux/rcupdate_trace.h>
#include "compat.h"
#include "shortfuse.h"

static u32 sf_number(const void *at, u16 size)
{
	return size == 1 ? *(const u8 *)at : size == 2 ? *(const u16 *)at : *(const u32 *)at;
}

#define SF_NUMBER(base, field) sf_number(SF_AT(base, field), sf_layout.field.size)

static bool sf_flag(const struct fuse_args *args, struct sf_field bit)
{
	return ((const u8 *)args)[bit.offset / 8] >> (bit.offset % 8) & 1;
}

/*
 * Word by word, because for the few words here memset() and memcpy() cost more
 * than their work; WRITE_ONCE keeps the compiler from calling them.
 */
static void sf_zero(u8 *from, const u8 *end)
{
	for (; !IS_ALIGNED((unsigned long)from, 8); from++)
		WRITE_ONCE(*from, 0);
	for (; from < end; from += 8)
		WRITE_ONCE(*(u64 *)from, 0);
}

static void sf_copy(void *to, const void *from, u32 size)
{
	if (!IS_ALIGNED((unsigned long)to | size, 8)) {
		memcpy(to, from, size);
		return;
	}
	for (u32 i = 0; i < size / 8; i++)
		WRITE_ONCE(((u64 *)to)[i], ((const u64 *)from)[i]);
}

/* Puts all in_args into ctx->in. False if the request is not a plain one. */
static bool sf_gather(struct sf_ctx *ctx, const struct fuse_args *args)
{
	u32 count = SF_NUMBER(args, in_numargs);
	const void *arg = SF_AT(args, in_args);
	u32 size;

	if (count > sf_layout.in_args.size / sf_layout.in_arg.size)
		return false;
	ctx->in_size = 0;
	for (; count; count--, arg += sf_layout.in_arg.size) {
		size = *(u32 *)SF_AT(arg, in_arg_size);
		if (size > SF_IN_MAX - ctx->in_size)
			return false;
		memcpy(ctx->in + ctx->in_size, *(void **)SF_AT(arg, in_arg_value), size);
		ctx->in_size += size;
	}
	sf_zero(ctx->in + ctx->in_size,
		ctx->in + (ctx->in_size <= SF_IN_SHORT ? SF_IN_SHORT : SF_IN_MAX));
	return true;
}

static noinline long sf_run(const struct sf_attachment *attachment, struct bpf_prog *prog,
			    struct fuse_args *args)
{
	/* Kernels that zero all variables would do it here for every request. */
	struct sf_ctx ctx __uninitialized __aligned(8);
	void *out;

	/* Only requests with plain memory in, and one reply of fixed size. */
	if (sf_flag(args, sf_layout.in_pages) || sf_flag(args, sf_layout.out_pages) ||
	    sf_flag(args, sf_layout.out_argvar) || SF_NUMBER(args, out_numargs) != 1)
		return SF_ASK_DAEMON;
	out = SF_AT(args, out_args);
	ctx.out_size = *(u32 *)SF_AT(out, out_arg_size);
	if (ctx.out_size > SF_OUT_MAX || !sf_gather(&ctx, args))
		return SF_ASK_DAEMON;
	ctx.nodeid = *(u64 *)SF_AT(args, nodeid);
	ctx.opcode = *(u32 *)SF_AT(args, opcode);
	ctx.error = 0;
	ctx.reserved = 0;
	sf_zero(ctx.out, ctx.out + ctx.out_size);

	if (bpf_prog_run_pin_on_cpu(prog, &ctx) != SF_ANSWER)
		return SF_ASK_DAEMON;

	/* Dead means dead: the original returns ENOTCONN. */
	if (!SF_NUMBER(attachment->conn, conn_connected))
		return SF_ASK_DAEMON;
	if (ctx.error) {
		/* ENOSYS would switch the opcode off for the life of the mount. */
		if (!IS_ERR_VALUE((long)ctx.error) || ctx.error == -ENOSYS)
			return SF_ASK_DAEMON;
		return ctx.error;
	}
	sf_copy(*(void **)SF_AT(out, out_arg_value), ctx.out, ctx.out_size);
	return 0;
}

/*
 * Answers a request, or says SF_ASK_DAEMON. The section is the one that a
 * sleepable program needs anyway; it also keeps the attachment alive.
 */
long sf_answer(struct fuse_mount *fm, struct fuse_args *args)
{
	struct sf_attachment *attachment;
	long result = SF_ASK_DAEMON;

	if (!smp_load_acquire(&sf_attached))
		return SF_ASK_DAEMON;

	rcu_read_lock_trace();
	attachment = sf_find(*(struct fuse_conn **)SF_AT(fm, mount_fc));
	if (attachment) {
		u32 opcode = *(u32 *)SF_AT(args, opcode);
		struct bpf_prog *prog = opcode < SF_OPCODES ? attachment->progs[opcode] : NULL;

		if (prog)
			result = sf_run(attachment, prog, args);
	}
	rcu_read_unlock_trace();
	return result;
}
