// SPDX-License-Identifier: GPL-2.0
/*
 * ftrace sends every call of FUSE's request functions here first. A request that
 * is not answered goes on to the original by a jump, as if nothing had been. So
 * does the end of a write, after what it wrote has left the page cache.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/rcupdate.h>
#include <linux/rcupdate_trace.h>
#include <linux/static_call.h>
#include "compat.h"
#include "shortfuse.h"

/*
 * The original is called in tail position and through a static call, which is
 * a direct jmp (an indirect one would fault on IBT hardware: the target lies
 * behind the function's ENDBR). So no frame of this module stays below: a task
 * may sleep in the original until long after rmmod. The build checks that it
 * is a jmp: check-tail-call in the Makefile.
 */
static ssize_t sf_no_original(struct fuse_mount *fm, struct fuse_args *args)
{
	return -EIO;
}

static ssize_t sf_no_original_idmap(void *idmap, struct fuse_mount *fm, struct fuse_args *args)
{
	return -EIO;
}

static int sf_no_original_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	return -EIO;
}

static bool sf_no_original_write_update(struct inode *inode, loff_t end, ssize_t written)
{
	return false;
}

DEFINE_STATIC_CALL(sf_original, sf_no_original);
DEFINE_STATIC_CALL(sf_original_idmap, sf_no_original_idmap);
DEFINE_STATIC_CALL(sf_original_background, sf_no_original_background);
DEFINE_STATIC_CALL(sf_original_write_update, sf_no_original_write_update);

/* 6.1: fuse_simple_request(fm, args) */
static noinline ssize_t sf_request(struct fuse_mount *fm, struct fuse_args *args)
{
	long result = sf_answer(fm, args);

	if (result != SF_ASK_DAEMON)
		return result;
	return static_call(sf_original)(fm, args);
}

/* 6.12: __fuse_simple_request(idmap, fm, args) */
static noinline ssize_t sf_request_idmap(void *idmap, struct fuse_mount *fm, struct fuse_args *args)
{
	long result = sf_answer(fm, args);

	if (result != SF_ASK_DAEMON)
		return result;
	return static_call(sf_original_idmap)(idmap, fm, args);
}

static noinline int sf_request_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	if (sf_answer_background(fm, args, gfp))
		return 0;
	return static_call(sf_original_background)(fm, args, gfp);
}

/* fuse_write_update_attr(inode, end, written): the last thing that a write(2) does. */
static noinline bool sf_write_update(struct inode *inode, loff_t end, ssize_t written)
{
	if (written > 0)
		sf_drop_written(inode, end - written, end - 1);
	return static_call(sf_original_write_update)(inode, end, written);
}

static void notrace sf_redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)ops->private);
}

/* Without FTRACE_OPS_FL_RECURSION, a guard: sf_redirect calls nothing. */
static struct ftrace_ops sf_ops = {.func = sf_redirect, .flags = FTRACE_OPS_FL_IPMODIFY};
static struct ftrace_ops sf_background_ops = {.func = sf_redirect, .flags = FTRACE_OPS_FL_IPMODIFY};
static struct ftrace_ops sf_write_update_ops = {.func = sf_redirect,
						.flags = FTRACE_OPS_FL_IPMODIFY};

/* The address of a function's ftrace site; 0 if there is no such function. */
static unsigned long sf_site(const char *symbol)
{
	/* Disabled: only looked up, the function is not touched. */
	struct kprobe probe = {.symbol_name = symbol, .flags = KPROBE_FLAG_DISABLED};
	unsigned long site;

	if (register_kprobe(&probe))
		return 0;
	site = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	return site;
}

static int sf_redirect_site(struct ftrace_ops *ops, unsigned long site, void *target)
{
	int error;

	ops->private = target;
	error = ftrace_set_filter_ip(ops, site, 0, 0);
	if (!error)
		error = register_ftrace_function(ops);
	if (error) {
		pr_err("cannot hook FUSE's requests, is another live patch on them? (%d)\n", error);
		ftrace_free_filter(ops);
	}
	return error;
}

static void sf_restore_site(struct ftrace_ops *ops)
{
	unregister_ftrace_function(ops);
	ftrace_free_filter(ops);
}

/* As sf_site, and says which one is missing. */
static unsigned long sf_needed_site(const char *symbol)
{
	unsigned long site = sf_site(symbol);

	if (!site)
		pr_err("no function %s in this kernel\n", symbol);
	return site;
}

int sf_hook_init(void)
{
	unsigned long background = sf_needed_site("fuse_simple_background");
	unsigned long write_update = sf_needed_site("fuse_write_update_attr");
	unsigned long idmap = sf_site("__fuse_simple_request");
	unsigned long site = idmap ?: sf_needed_site("fuse_simple_request");
	int error;

	if (!site || !background || !write_update)
		return -EOPNOTSUPP;
	if (idmap)
		static_call_update(sf_original_idmap, (void *)(site + MCOUNT_INSN_SIZE));
	else
		static_call_update(sf_original, (void *)(site + MCOUNT_INSN_SIZE));
	static_call_update(sf_original_background, (void *)(background + MCOUNT_INSN_SIZE));
	static_call_update(sf_original_write_update, (void *)(write_update + MCOUNT_INSN_SIZE));

	error = sf_redirect_site(&sf_ops, site, idmap ? (void *)sf_request_idmap : sf_request);
	if (error)
		return error;
	error = sf_redirect_site(&sf_background_ops, background, sf_request_background);
	if (error)
		goto restore;
	error = sf_redirect_site(&sf_write_update_ops, write_update, sf_write_update);
	if (error)
		goto restore_background;
	return 0;

restore_background:
	sf_restore_site(&sf_background_ops);
restore:
	sf_restore_site(&sf_ops);
	return error;
}

void sf_hook_exit(void)
{
	sf_restore_site(&sf_write_update_ops);
	sf_restore_site(&sf_background_ops);
	sf_restore_site(&sf_ops);
	/*
	 * Those on their way in have arrived (tasks), those inside have left
	 * (tasks trace: they may sleep there; who drops pages holds the module),
	 * and those on their way out have jumped (tasks again).
	 */
	synchronize_rcu_tasks();
	synchronize_rcu_tasks_trace();
	synchronize_rcu_tasks();
}
