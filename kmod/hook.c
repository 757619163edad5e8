// SPDX-License-Identifier: GPL-2.0
/*
 * ftrace redirects every call of FUSE's request functions here. A request that is
 * not answered continues in the original by a jump, as if there were no hook. So do
 * the start and the end of a write, after which written pages may have to be dropped
 * from the page cache.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/rcupdate.h>
#include <linux/rcupdate_trace.h>
#include <linux/static_call.h>
#include <linux/slab.h>
#include "compat.h"
#include "foreign.h"

/*
 * The original is called in tail position and through a static call, which is
 * a direct jmp (an indirect one would fault on IBT hardware: the target is
 * after the function's ENDBR). So no frame of this module stays on the stack: a
 * task may sleep in the original until long after rmmod. The build checks that it
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

static ssize_t sf_no_original_write(struct kiocb *iocb, struct iov_iter *from)
{
	return -EIO;
}

static bool sf_no_original_write_update(struct inode *inode, loff_t end, ssize_t written)
{
	return false;
}

struct fuse_forget_link;

static void sf_no_original_forget(void *chan, struct fuse_forget_link *forget, u64 nodeid,
				  u64 count)
{
}

static int sf_no_original_inval_inode(struct fuse_conn *conn, u64 nodeid, loff_t offset,
				      loff_t size)
{
	return -EIO;
}

static int sf_no_original_inval_entry(struct fuse_conn *conn, u64 parent, u64 child,
				      struct qstr *name, u32 flags)
{
	return -EIO;
}

static void sf_no_original_destroy(struct fuse_mount *fm)
{
}

DEFINE_STATIC_CALL(sf_original, sf_no_original);
DEFINE_STATIC_CALL(sf_original_idmap, sf_no_original_idmap);
DEFINE_STATIC_CALL(sf_original_background, sf_no_original_background);
DEFINE_STATIC_CALL(sf_original_write, sf_no_original_write);
DEFINE_STATIC_CALL(sf_original_write_update, sf_no_original_write_update);
DEFINE_STATIC_CALL(sf_original_forget, sf_no_original_forget);
DEFINE_STATIC_CALL(sf_original_destroy, sf_no_original_destroy);
DEFINE_STATIC_CALL(sf_original_inval_inode, sf_no_original_inval_inode);
DEFINE_STATIC_CALL(sf_original_inval_entry, sf_no_original_inval_entry);

static bool sf_has_idmap;

/* 6.1: fuse_simple_request(fm, args) */
static noinline ssize_t sf_request(struct fuse_mount *fm, struct fuse_args *args)
{
	long result = sf_answer(fm, args);

	if (result == SF_WATCH)
		return sf_watch(NULL, fm, args);
	if (result != SF_ASK_DAEMON)
		return result;
	return static_call(sf_original)(fm, args);
}

/* 6.12: __fuse_simple_request(idmap, fm, args) */
static noinline ssize_t sf_request_idmap(void *idmap, struct fuse_mount *fm, struct fuse_args *args)
{
	long result = sf_answer(fm, args);

	if (result == SF_WATCH)
		return sf_watch(idmap, fm, args);
	if (result != SF_ASK_DAEMON)
		return result;
	return static_call(sf_original_idmap)(idmap, fm, args);
}

static noinline int sf_request_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	long result = sf_answer_background(fm, args, gfp);

	if (result == SF_WATCH)
		return sf_watch_background(fm, args, gfp);
	if (!result)
		return 0;
	return static_call(sf_original_background)(fm, args, gfp);
}

/*
 * fuse_queue_forget(conn, forget, nodeid, nlookup), since 7.2 fuse_chan_queue_forget(chan, …): the
 * kernel forgets an inode.
 */
static noinline void sf_forget(void *chan, struct fuse_forget_link *forget, u64 nodeid, u64 count)
{
	count = sf_watch_forget(chan, nodeid, count);
	if (!count) {
		kfree(forget);
		return;
	}
	static_call(sf_original_forget)(chan, forget, nodeid, count);
}

/* fuse_conn_destroy(fm): the mount has ended, and its super block is about to be freed. */
static noinline void sf_destroy(struct fuse_mount *fm)
{
	sf_watch_destroy(fm);
	static_call(sf_original_destroy)(fm);
}

/* fuse_reverse_inval_inode(conn, nodeid, offset, size): the daemon reports a change. */
static noinline int sf_inval_inode(struct fuse_conn *conn, u64 nodeid, loff_t offset, loff_t size)
{
	sf_watch_inval_inode(conn, nodeid);
	return static_call(sf_original_inval_inode)(conn, nodeid, offset, size);
}

/* fuse_reverse_inval_entry(conn, parent, child, name, flags); 6.1 has no flags. */
static noinline int sf_inval_entry(struct fuse_conn *conn, u64 parent, u64 child, struct qstr *name,
				   u32 flags)
{
	sf_watch_inval_entry(conn, parent, child, name);
	return static_call(sf_original_inval_entry)(conn, parent, child, name, flags);
}

/* Asks the daemon by a call: the caller holds a reference to the module. */
ssize_t sf_ask(void *idmap, struct fuse_mount *fm, struct fuse_args *args)
{
	ssize_t result = sf_has_idmap ? static_call(sf_original_idmap)(idmap, fm, args)
				      : static_call(sf_original)(fm, args);

	barrier(); /* otherwise it would be a jump, which the build counts */
	return result;
}

int sf_ask_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	int result = static_call(sf_original_background)(fm, args, gfp);

	barrier();
	return result;
}

/* fuse_file_write_iter(iocb, from): the first thing that a write(2) does. */
static noinline ssize_t sf_write(struct kiocb *iocb, struct iov_iter *from)
{
	sf_note_write(file_inode(iocb->ki_filp));
	return static_call(sf_original_write)(iocb, from);
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

/* A function of fs/fuse, and the target of its calls. */
struct sf_hook {
	const char *symbol;
	void *target;
	/* Directs the static call to `original`, after the ftrace site. */
	void (*use)(void *original);
	bool is_optional;
	bool is_set;
	unsigned long site;
	struct ftrace_ops ops;
};

#define SF_USE(call)                                \
	static void use_##call(void *original)      \
	{                                           \
		static_call_update(call, original); \
	}
SF_USE(sf_original)
SF_USE(sf_original_idmap)
SF_USE(sf_original_background)
SF_USE(sf_original_write)
SF_USE(sf_original_write_update)
SF_USE(sf_original_forget)
SF_USE(sf_original_destroy)
SF_USE(sf_original_inval_inode)
SF_USE(sf_original_inval_entry)

static struct sf_hook sf_hooks[] = {
	{"__fuse_simple_request", sf_request_idmap, use_sf_original_idmap, .is_optional = true},
	/* Before 6.12. If both exist, the second calls the first. */
	{"fuse_simple_request", sf_request, use_sf_original},
	{"fuse_simple_background", sf_request_background, use_sf_original_background},
	{"fuse_file_write_iter", sf_write, use_sf_original_write},
	{"fuse_write_update_attr", sf_write_update, use_sf_original_write_update},
	{SF_QUEUE_FORGET, sf_forget, use_sf_original_forget},
	{"fuse_conn_destroy", sf_destroy, use_sf_original_destroy},
	{"fuse_reverse_inval_inode", sf_inval_inode, use_sf_original_inval_inode},
	{"fuse_reverse_inval_entry", sf_inval_entry, use_sf_original_inval_entry},
};

/* The address of a function's ftrace site; 0 if there is no such function. */
static unsigned long sf_site(const char *symbol)
{
	/* Disabled: only looks it up and does not modify the function. */
	struct kprobe probe = {.symbol_name = symbol, .flags = KPROBE_FLAG_DISABLED};
	unsigned long site;

	if (register_kprobe(&probe))
		return 0;
	site = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	return site;
}

static int sf_hook_set(struct sf_hook *hook)
{
	int error;

	hook->use((void *)(hook->site + MCOUNT_INSN_SIZE));
	/* Without the guard FTRACE_OPS_FL_RECURSION: sf_redirect calls nothing. */
	hook->ops.func = sf_redirect;
	hook->ops.flags = FTRACE_OPS_FL_IPMODIFY;
	hook->ops.private = hook->target;
	error = ftrace_set_filter_ip(&hook->ops, hook->site, 0, 0);
	if (!error)
		error = register_ftrace_function(&hook->ops);
	if (error) {
		pr_err("cannot hook %s, is another live patch on it? (%d)\n", hook->symbol, error);
		ftrace_free_filter(&hook->ops);
	}
	hook->is_set = !error;
	return error;
}

/* In reverse order: requests are hooked before the functions that report their results. */
static void sf_hooks_restore(void)
{
	for (int i = ARRAY_SIZE(sf_hooks) - 1; i >= 0; i--) {
		if (!sf_hooks[i].is_set)
			continue;
		unregister_ftrace_function(&sf_hooks[i].ops);
		ftrace_free_filter(&sf_hooks[i].ops);
		sf_hooks[i].is_set = false;
	}
}

/* All sites are looked up before anything is hooked. */
static int sf_hooks_find(void)
{
	for (int i = 0; i < ARRAY_SIZE(sf_hooks); i++) {
		struct sf_hook *hook = &sf_hooks[i];

		if (hook->target == sf_request && sf_has_idmap)
			continue;
		hook->site = sf_site(hook->symbol);
		if (!hook->site && !hook->is_optional) {
			pr_err("no function %s in this kernel\n", hook->symbol);
			return -EOPNOTSUPP;
		}
		if (hook->target == sf_request_idmap)
			sf_has_idmap = hook->site;
	}
	return 0;
}

int sf_hook_init(void)
{
	int error = sf_hooks_find();

	for (int i = 0; !error && i < ARRAY_SIZE(sf_hooks); i++) {
		if (sf_hooks[i].site)
			error = sf_hook_set(&sf_hooks[i]);
	}
	if (error)
		sf_hooks_restore();
	return error;
}

void sf_hook_exit(void)
{
	sf_hooks_restore();
	/*
	 * Wait until tasks on their way in have arrived (tasks), tasks inside have left
	 * (tasks trace: they may sleep there; tasks that drop pages or wait for a daemon
	 * hold the module), and tasks on their way out have jumped (tasks again).
	 */
	synchronize_rcu_tasks();
	synchronize_rcu_tasks_trace();
	synchronize_rcu_tasks();
}
