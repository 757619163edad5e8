// SPDX-License-Identifier: GPL-2.0
/*
 * ftrace sends every call of FUSE's request function here first. A request that
 * is not answered goes on to the original by a jump, as if nothing had been.
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

DEFINE_STATIC_CALL(sf_original, sf_no_original);
DEFINE_STATIC_CALL(sf_original_idmap, sf_no_original_idmap);

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

static void notrace sf_redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)ops->private);
}

static struct ftrace_ops sf_ops = {
	.func = sf_redirect,
	/* Without FTRACE_OPS_FL_RECURSION, a guard: sf_redirect calls nothing. */
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

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

int sf_hook_init(void)
{
	unsigned long site;
	int error;

	site = sf_site("__fuse_simple_request");
	if (site) {
		static_call_update(sf_original_idmap, (void *)(site + MCOUNT_INSN_SIZE));
		sf_ops.private = sf_request_idmap;
	} else {
		site = sf_site("fuse_simple_request");
		if (!site) {
			pr_err("no function fuse_simple_request in this kernel\n");
			return -EOPNOTSUPP;
		}
		static_call_update(sf_original, (void *)(site + MCOUNT_INSN_SIZE));
		sf_ops.private = sf_request;
	}

	error = ftrace_set_filter_ip(&sf_ops, site, 0, 0);
	if (!error)
		error = register_ftrace_function(&sf_ops);
	if (error) {
		pr_err("cannot hook FUSE's requests, is another live patch on them? (%d)\n", error);
		ftrace_free_filter(&sf_ops);
	}
	return error;
}

void sf_hook_exit(void)
{
	unregister_ftrace_function(&sf_ops);
	ftrace_free_filter(&sf_ops);
	/*
	 * Those on their way in have arrived (tasks), those inside have left
	 * (tasks trace: they may sleep there), and those on their way out have
	 * jumped (tasks again).
	 */
	synchronize_rcu_tasks();
	synchronize_rcu_tasks_trace();
	synchronize_rcu_tasks();
}
