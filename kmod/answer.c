// SPDX-License-Identifier: GPL-2.0
/* One request's way through a program: gather, run, check, copy out. */
#include <linux/filter.h>
#include <linux/gfp.h>
#include <linux/rcupdate_trace.h>
#include <linux/slab.h>
#include <linux/module.h>
#include "compat.h"
#include "foreign.h"

struct kmem_cache *sf_read_cache;

static u32 sf_number(const void *at, u16 size)
{
	return size == 1 ? *(const u8 *)at : size == 2 ? *(const u16 *)at : *(const u32 *)at;
}

#define SF_NUMBER(base, field) sf_number(SF_AT(base, field), sf_layout.field.size)

/* Word by word, as sf_zero(). */
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
bool sf_gather(struct sf_ctx *ctx, const struct fuse_args *args)
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

/* The kind of reply that a request expects. */
enum sf_shape {
	SF_NOTHING,  /* RELEASE, FLUSH: no reply except the error */
	SF_FIXED,    /* one reply, exactly of the requested size */
	SF_VARIABLE, /* one reply, at most of that size, in memory or in pages */
	SF_OTHER,    /* several: only an error can be answered */
};

static enum sf_shape sf_shape(const struct fuse_args *args)
{
	u32 count = SF_NUMBER(args, out_numargs);

	if (count == 0)
		return SF_NOTHING;
	if (count > 1)
		return SF_OTHER;
	if (sf_flag(args, sf_layout.out_argvar))
		return SF_VARIABLE;
	return sf_flag(args, sf_layout.out_pages) ? SF_OTHER : SF_FIXED;
}

static bool sf_conn_is_alive(const struct sf_attachment *attachment)
{
	return sf_number(attachment->connected, sf_layout.conn_connected.size);
}

/* An error that a program may return. ENOSYS would disable the opcode permanently. */
static bool sf_error_is_plain(s32 error)
{
	return IS_ERR_VALUE((long)error) && error != -ENOSYS;
}

/* Sets the size of the reply, as fs/fuse itself does for a reply of the daemon. */
static long sf_deliver_size(struct fuse_args *args, u32 size)
{
	*(u32 *)SF_AT(SF_AT(args, out_args), out_arg_size) = size;
	return size;
}

static noinline long sf_run(const struct sf_attachment *attachment, struct bpf_prog *prog,
			    struct fuse_args *args)
{
	/* Kernels that zero all variables would do so here for every request. */
	struct sf_ctx ctx __uninitialized __aligned(8);
	enum sf_shape shape = sf_shape(args);
	void *out = SF_AT(args, out_args);
	struct sf_sink sink;
	u32 wanted = 0;

	if (!sf_gather(&ctx, args))
		return SF_ASK_DAEMON;
	if (shape == SF_FIXED || shape == SF_VARIABLE)
		wanted = *(u32 *)SF_AT(out, out_arg_size);
	if (shape == SF_FIXED && wanted > SF_OUT_MAX)
		return SF_ASK_DAEMON;
	ctx.nodeid = *(u64 *)SF_AT(args, nodeid);
	ctx.opcode = *(u32 *)SF_AT(args, opcode);
	ctx.out_size = wanted;
	ctx.error = 0;
	ctx.cookie = 0;
	/* A program that writes less than it claims must not leak the stack. */
	sf_zero(ctx.out, ctx.out + min_t(u32, wanted, SF_OUT_MAX));

	if (bpf_prog_run_pin_on_cpu(prog, &ctx) != SF_ANSWER)
		return SF_ASK_DAEMON;
	if (attachment->foreign && !sf_foreign_permits(attachment->foreign, &ctx))
		return SF_ASK_DAEMON;
	/* Not connected: the original returns ENOTCONN. */
	if (!sf_conn_is_alive(attachment))
		return SF_ASK_DAEMON;
	if (ctx.error)
		return sf_error_is_plain(ctx.error) ? ctx.error : SF_ASK_DAEMON;

	switch (shape) {
	case SF_NOTHING:
		return 0;
	case SF_FIXED:
		sf_copy(*(void **)SF_AT(out, out_arg_value), ctx.out, wanted);
		return 0;
	case SF_VARIABLE:
		if (ctx.out_size > min_t(u32, wanted, SF_OUT_MAX))
			return SF_ASK_DAEMON;
		if (!sf_sink_open(&sink, args) || !sf_sink_put(&sink, ctx.out, ctx.out_size) ||
		    !sf_sink_close(&sink, wanted - ctx.out_size))
			return SF_ASK_DAEMON;
		return sf_deliver_size(args, ctx.out_size);
	default:
		return SF_ASK_DAEMON;
	}
}

/*
 * READ: the program answers block by block. If it passes on a block, what was put into
 * the pages before is harmless: the daemon's reply overwrites it.
 */
static noinline long sf_run_read(const struct sf_attachment *attachment, struct bpf_prog *prog,
				 struct fuse_args *args)
{
	struct fuse_read_in *in;
	struct sf_read_ctx *ctx;
	struct sf_sink sink;
	u64 offset;
	u32 wanted, done = 0, part, got;
	long result = SF_ASK_DAEMON;

	if (sf_shape(args) != SF_VARIABLE || !sf_sink_open(&sink, args))
		return SF_ASK_DAEMON;
	/* No memory available: ask the daemon, which is slow but waits for nothing we hold. */
	ctx = kmem_cache_alloc(sf_read_cache, GFP_NOWAIT | __GFP_NOWARN);
	if (!ctx)
		return SF_ASK_DAEMON;
	if (!sf_gather(&ctx->head, args) || ctx->head.in_size != sizeof(*in))
		goto out;
	in = (struct fuse_read_in *)ctx->head.in;
	offset = in->offset;
	wanted = *(u32 *)SF_AT(SF_AT(args, out_args), out_arg_size);
	ctx->head.nodeid = *(u64 *)SF_AT(args, nodeid);
	ctx->head.opcode = FUSE_READ;
	ctx->head.cookie = 0;

	do {
		part = min_t(u32, wanted - done, SF_BLOCK - (offset + done) % SF_BLOCK);
		in->offset = offset + done;
		in->size = part;
		ctx->head.out_size = part;
		ctx->head.error = 0;
		if (bpf_prog_run_pin_on_cpu(prog, ctx) != SF_ANSWER || ctx->head.error)
			goto out;
		got = ctx->head.out_size;
		if (got > part ||
		    !sf_sink_put(&sink, (u8 *)ctx->block + (offset + done) % SF_BLOCK, got))
			goto out;
		done += got;
	} while (got == part && done < wanted);

	if (sf_conn_is_alive(attachment) && sf_sink_close(&sink, wanted - done))
		result = sf_deliver_size(args, done);
out:
	kmem_cache_free(sf_read_cache, ctx);
	return result;
}

static long sf_try_attached(struct sf_attachment *attachment, u32 opcode, struct fuse_args *args)
{
	struct bpf_prog *prog;

	if (attachment->foreign &&
	    (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_FLUSH))
		return sf_answer_handle(attachment, args);
	if (opcode == FUSE_READ && !attachment->foreign)
		sf_note_read(args);
	if (attachment->foreign && !READ_ONCE(attachment->foreign->has_learned))
		return SF_ASK_DAEMON;
	prog = attachment->progs[opcode];
	/* Programs cannot see the data of a request in pages (WRITE). */
	if (!prog || sf_flag(args, sf_layout.in_pages))
		return SF_ASK_DAEMON;
	return opcode == FUSE_READ ? sf_run_read(attachment, prog, args)
				   : sf_run(attachment, prog, args);
}

/*
 * Under rcu_read_lock_trace(). A request of an attached mount that is not answered must be
 * watched. While a mount is attached the module is loaded, so it can be referenced.
 */
static long sf_try(struct fuse_mount *fm, struct fuse_args *args, bool may_answer)
{
	struct sf_attachment *attachment = sf_find(*(struct fuse_conn **)SF_AT(fm, mount_fc));
	u32 opcode = *(u32 *)SF_AT(args, opcode);
	long result = SF_ASK_DAEMON;

	if (!attachment)
		return SF_ASK_DAEMON;
	if (may_answer && opcode < SF_OPCODES) {
		result = sf_try_attached(attachment, opcode, args);
		if (attachment->foreign)
			sf_count(attachment->foreign, opcode, result != SF_ASK_DAEMON);
	}
	if (result == SF_ASK_DAEMON && attachment->foreign && try_module_get(THIS_MODULE))
		return SF_WATCH;
	return result;
}

/*
 * Answers a request, or returns SF_ASK_DAEMON. The RCU section is the one that a
 * sleepable program needs anyway; it also keeps the attachment alive.
 */
long sf_answer(struct fuse_mount *fm, struct fuse_args *args)
{
	long result;

	if (!smp_load_acquire(&sf_attached))
		return SF_ASK_DAEMON;
	rcu_read_lock_trace();
	result = sf_try(fm, args, true);
	rcu_read_unlock_trace();
	return result;
}

/*
 * The same for a background request: its `end` gets the result, and frees args.
 * Called within the section, so that the module cannot be unloaded meanwhile.
 */
long sf_answer_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	void *end;
	long result;

	if (!smp_load_acquire(&sf_attached))
		return SF_ASK_DAEMON;
	rcu_read_lock_trace();
	end = *(void **)SF_AT(args, end);
	/* Programs may sleep. Write-back is sent with a spinlock held and GFP_ATOMIC. */
	result = sf_try(fm, args, end && gfpflags_allow_blocking(gfp));
	if (result != SF_ASK_DAEMON && result != SF_WATCH) {
		sf_call_end(end, fm, args, min(result, 0L));
		result = 0;
	}
	rcu_read_unlock_trace();
	return result;
}
