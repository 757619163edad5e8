// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of an attached mount made by background requests: RELEASE of a file that was
 * written, direct and mapped writes. They end when fs/fuse calls args->end, so we replace
 * it meanwhile. May be sent with spinlocks held.
 */
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "foreign.h"

struct sf_pending {
	struct hlist_node entry;
	struct fuse_args *args;
	void *end;
	struct sf_foreign *foreign;
	struct sf_change change;
};

static DEFINE_HASHTABLE(sf_pendings, 8);
static DEFINE_SPINLOCK(sf_pendings_lock);

static struct sf_pending *sf_pending_take(const struct fuse_args *args)
{
	struct sf_pending *pending;
	unsigned long flags;

	spin_lock_irqsave(&sf_pendings_lock, flags);
	hash_for_each_possible(sf_pendings, pending, entry, (unsigned long)args) {
		if (pending->args == args) {
			hash_del(&pending->entry);
			break;
		}
	}
	spin_unlock_irqrestore(&sf_pendings_lock, flags);
	return pending;
}

static void sf_pending_end(struct sf_pending *pending)
{
	sf_end(pending->foreign, &pending->change);
	if (atomic_dec_and_test(&pending->foreign->pending))
		wake_up_all(&pending->foreign->quiet);
	sf_foreign_put(pending->foreign);
	kfree(pending);
}

static void sf_watched_end_mount(struct fuse_mount *fm, struct fuse_args *args, int error)
{
	struct sf_pending *pending = sf_pending_take(args);
	void *end = pending->end;

	sf_pending_end(pending);
	sf_call_end(end, fm, args, error);
	module_put(THIS_MODULE);
}

static void sf_watched_end(struct fuse_args *args, int error)
{
	sf_watched_end_mount(NULL, args, error);
}

/* Watches `args` until it ends. False if this is not needed, or not possible. */
static bool sf_watch_end(struct sf_foreign *foreign, struct fuse_args *args,
			 const struct sf_change *change)
{
	void **end = SF_AT(args, end);
	struct sf_pending *pending = *end ? kmalloc(sizeof(*pending), GFP_ATOMIC) : NULL;
	unsigned long flags;

	sf_begin(foreign, change);
	/* A change whose end cannot be detected stays in progress: what it concerns is never
	 * answered. */
	if (!pending)
		return false;
	atomic_inc(&foreign->pending);
	pending->args = args;
	pending->end = *end;
	pending->foreign = foreign;
	pending->change = *change;
	spin_lock_irqsave(&sf_pendings_lock, flags);
	hash_add(sf_pendings, &pending->entry, (unsigned long)args);
	spin_unlock_irqrestore(&sf_pendings_lock, flags);
	*end = sf_layout.end_mount.size ? (void *)sf_watched_end_mount : (void *)sf_watched_end;
	return true;
}

void sf_send_watched(struct sf_foreign *foreign, struct fuse_mount *fm, struct fuse_args *args)
{
	static const struct sf_change nothing;
	void *end = *(void **)SF_AT(args, end);
	int error;

	refcount_inc(&foreign->refs);
	__module_get(THIS_MODULE);
	sf_count(foreign, *(u32 *)SF_AT(args, opcode), false);
	if (!sf_watch_end(foreign, args, &nothing)) {
		sf_foreign_put(foreign);
		module_put(THIS_MODULE);
		error = sf_ask_background(fm, args, GFP_KERNEL | __GFP_NOFAIL);
		if (error)
			sf_call_end(end, fm, args, error);
		return;
	}
	error = sf_ask_background(fm, args, GFP_KERNEL | __GFP_NOFAIL);
	if (error)
		sf_watched_end_mount(fm, args, error);
}

int sf_watch_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp)
{
	struct sf_change change;
	struct sf_foreign *foreign = sf_watched(fm, args, &change);
	u32 opcode = *(u32 *)SF_AT(args, opcode);
	struct sf_pending *pending;
	int result;

	if (foreign && !sf_changes(&change) &&
	    (opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR)) {
		if (sf_handle_keep(foreign, fm, args)) {
			/* The daemon is not asked after all. */
			this_cpu_dec(foreign->tally->asked[opcode]);
			sf_count(foreign, opcode, true);
			result = 0;
			goto out;
		}
		sf_handle_closed(foreign, *(u64 *)SF_AT(args, nodeid), *(u64 *)sf_in(args, 0, 8));
	}
	if (!foreign || !sf_changes(&change) || !sf_watch_end(foreign, args, &change)) {
		result = sf_ask_background(fm, args, gfp);
		goto out;
	}
	/* From now on sf_watched_end owns it, with the reference to the module. */
	result = sf_ask_background(fm, args, gfp);
	if (!result)
		return 0;
	pending = sf_pending_take(args);
	*(void **)SF_AT(args, end) = pending->end;
	sf_pending_end(pending);
	foreign = NULL;
out:
	if (foreign)
		sf_foreign_put(foreign);
	module_put(THIS_MODULE);
	return result;
}
