// SPDX-License-Identifier: GPL-2.0
/*
 * Files and directories of an attached mount that were opened for reading. Closing
 * one changes nothing; closing other files may, since some daemons write data only
 * then.
 *
 * If the policy permits it, a handle outlives its RELEASE, which is kept here, and is reused
 * for the next open of the file in the same mode, if nothing has changed since. It has one
 * opener at a time. The RELEASE is sent before the file loses a name (libfuse hides open
 * files), when the handle has been idle for some time, and at the end of the mount or of
 * the attachment. It pins its inode until then.
 *
 * Directories only if nothing else changes them: then the kernel also keeps their listings,
 * and drops them by itself when a name is added or removed.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/hash.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include "foreign.h"

/* In seconds. Longer: more opens are answered, more files stay open in the daemon. */
#define SF_IDLE 60
/* How long a request, or the end of the mount, waits for the daemon to close what was kept.
 */
#define SF_SEND_PATIENCE (2 * HZ)

struct sf_handle {
	struct hlist_bl_node entry;
	u64 nodeid;
	u64 number;
	struct fuse_open_in in;
	u32 open_flags;
	kuid_t uid;
	kgid_t gid;
	u64 since;   /* changes, before it was opened */
	u64 asked;   /* CLOCK_MONOTONIC, ns, when */
	u64 until;   /* CLOCK_MONOTONIC, ns */
	u32 openers; /* several if the daemon gives all the same number */
	/* The kept RELEASE while idle; NULL: the handle is in use. */
	struct fuse_args *args;
	struct fuse_mount *fm;
	unsigned long idle_since;
	struct list_head sent;
};

static struct hlist_bl_head *sf_bucket(const struct sf_foreign *foreign, u64 nodeid)
{
	return &foreign->handles[hash_64(nodeid, SF_HANDLE_BITS)];
}

/* Under the bucket's lock. */
static struct sf_handle *sf_find_handle(struct hlist_bl_head *bucket, u64 nodeid, u64 number)
{
	struct hlist_bl_node *position;
	struct sf_handle *handle;

	hlist_bl_for_each_entry(handle, position, bucket, entry) {
		if (handle->nodeid == nodeid && handle->number == number)
			return handle;
	}
	return NULL;
}

/* Other flags may have a meaning for the daemon. */
static bool sf_is_plain(u32 open_flags)
{
	return !(open_flags & ~(FOPEN_KEEP_CACHE | FOPEN_NOFLUSH | FOPEN_CACHE_DIR));
}

void sf_handle_opened(struct sf_foreign *foreign, const struct fuse_args *args, u64 since,
		      u64 asked)
{
	bool is_directory = *(u32 *)SF_AT(args, opcode) == FUSE_OPENDIR;
	const struct fuse_open_in *in = sf_in(args, 0, sizeof(*in));
	u64 nodeid = *(u64 *)SF_AT(args, nodeid);
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_handle *handle, *known;
	struct fuse_open_out *out;

	if (!in || (in->flags & O_ACCMODE) != O_RDONLY || !*(u8 *)SF_AT(args, out_numargs))
		return;
	if (is_directory && foreign->open_ns != U64_MAX)
		return;
	/* Then it is not known, and closing it counts as a change. */
	handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!handle)
		return;
	out = *(void **)SF_AT(SF_AT(args, out_args), out_arg_value);
	if (is_directory && sf_is_plain(out->open_flags))
		out->open_flags |= FOPEN_CACHE_DIR;
	handle->nodeid = nodeid;
	handle->number = out->fh;
	handle->in = *in;
	handle->open_flags = out->open_flags;
	handle->uid = current_fsuid();
	handle->gid = current_fsgid();
	handle->since = since;
	handle->asked = asked;
	handle->until = foreign->open_ns > U64_MAX - asked ? U64_MAX : asked + foreign->open_ns;
	handle->openers = 1;
	hlist_bl_lock(bucket);
	known = sf_find_handle(bucket, nodeid, out->fh);
	if (known)
		known->openers++;
	else
		hlist_bl_add_head(&handle->entry, bucket);
	hlist_bl_unlock(bucket);
	if (known)
		kfree(handle);
}

bool sf_handle_reads(const struct sf_foreign *foreign, u64 nodeid, u64 number)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	bool is_known;

	hlist_bl_lock(bucket);
	is_known = sf_find_handle(bucket, nodeid, number);
	hlist_bl_unlock(bucket);
	return is_known;
}

bool sf_handle_age(const struct sf_foreign *foreign, u64 nodeid, u64 number, u64 *since, u64 *asked)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_handle *handle;

	hlist_bl_lock(bucket);
	handle = sf_find_handle(bucket, nodeid, number);
	if (handle) {
		*since = handle->since;
		*asked = handle->asked;
	}
	hlist_bl_unlock(bucket);
	return handle;
}

void sf_handle_closed(struct sf_foreign *foreign, u64 nodeid, u64 number)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_handle *handle;

	hlist_bl_lock(bucket);
	handle = sf_find_handle(bucket, nodeid, number);
	if (handle && handle->openers)
		handle->openers--;
	if (handle && !handle->openers && !handle->args)
		hlist_bl_del(&handle->entry);
	else
		handle = NULL;
	hlist_bl_unlock(bucket);
	kfree(handle);
}

static bool sf_may_keep(const struct sf_foreign *foreign, const struct sf_handle *handle)
{
	return sf_is_plain(handle->open_flags) &&
	       sf_unchanged(foreign, sf_stripe_of(SF_NODE, handle->nodeid), handle->since) &&
	       sf_all_unchanged(foreign, handle->since) && ktime_get_ns() < handle->until;
}

bool sf_handle_keep(struct sf_foreign *foreign, struct fuse_mount *fm, struct fuse_args *args)
{
	const struct fuse_release_in *in = sf_in(args, 0, sizeof(*in));
	u64 nodeid = *(u64 *)SF_AT(args, nodeid);
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_handle *handle;
	bool is_kept = false;

	if (!foreign->open_ns || !in || in->release_flags || !*(void **)SF_AT(args, end))
		return false;
	hlist_bl_lock(bucket);
	handle = sf_find_handle(bucket, nodeid, in->fh);
	/* Checked under the lock: after it is set, all kept handles are taken and sent. */
	if (handle && handle->openers == 1 && !handle->args && !READ_ONCE(foreign->is_ending) &&
	    atomic_read(&foreign->idle) < foreign->idle_max && sf_may_keep(foreign, handle)) {
		handle->openers = 0;
		handle->args = args;
		handle->fm = fm;
		handle->idle_since = jiffies;
		atomic_inc(&foreign->idle);
		is_kept = true;
	}
	hlist_bl_unlock(bucket);
	return is_kept;
}

bool sf_handle_lend(struct sf_foreign *foreign, const struct fuse_args *args)
{
	const struct fuse_open_in *in = sf_in(args, 0, sizeof(*in));
	u64 nodeid = *(u64 *)SF_AT(args, nodeid);
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct fuse_args *release = NULL;
	struct hlist_bl_node *position;
	struct fuse_open_out *out;
	struct sf_handle *handle;
	struct fuse_mount *fm;

	if (!in || *(u8 *)SF_AT(args, out_numargs) != 1)
		return false;
	out = *(void **)SF_AT(SF_AT(args, out_args), out_arg_value);
	hlist_bl_lock(bucket);
	hlist_bl_for_each_entry(handle, position, bucket, entry) {
		if (handle->nodeid != nodeid || !handle->args || handle->openers ||
		    memcmp(&handle->in, in, sizeof(*in)) || !uid_eq(handle->uid, current_fsuid()) ||
		    !gid_eq(handle->gid, current_fsgid()) || !sf_may_keep(foreign, handle))
			continue;
		release = handle->args;
		fm = handle->fm;
		handle->args = NULL;
		handle->openers = 1;
		memset(out, 0, sizeof(*out));
		out->fh = handle->number;
		/* Unchanged since it was opened, so pages that were read since are valid. */
		out->open_flags = handle->open_flags | FOPEN_KEEP_CACHE;
		break;
	}
	hlist_bl_unlock(bucket);
	if (!release)
		return false;
	atomic_dec(&foreign->idle);
	/* As if it had been answered: it releases the inode, which the opener holds. */
	sf_call_end(*(void **)SF_AT(release, end), fm, release, 0);
	return true;
}

/* According to the attributes in the maps: a file with another name may change unnoticed. */
long sf_answer_handle(struct sf_attachment *attachment, const struct fuse_args *args)
{
	struct sf_foreign *foreign = attachment->foreign;
	u32 opcode = *(u32 *)SF_AT(args, opcode);
	u64 nodeid = *(u64 *)SF_AT(args, nodeid);
	const u64 *number;

	if (!foreign->open_ns || READ_ONCE(foreign->is_ending))
		return SF_ASK_DAEMON;
	if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
		return atomic_read(&foreign->idle) &&
				       (opcode == FUSE_OPENDIR ||
					sf_known_single(attachment, nodeid)) &&
				       sf_handle_lend(foreign, args)
			       ? 0
			       : SF_ASK_DAEMON;
	/* A file that was only read has nothing to flush, but the daemon may hold locks on it. */
	number = sf_in(args, 0, sizeof(*number));
	return number && !READ_ONCE(foreign->locks) && sf_handle_reads(foreign, nodeid, *number)
		       ? 0
		       : SF_ASK_DAEMON;
}

/* Removes idle handles from a bucket: those of nodeid, or idle for that long; 0: any. */
static void sf_take_idle(struct sf_foreign *foreign, struct hlist_bl_head *bucket, u64 nodeid,
			 unsigned long age, struct list_head *taken)
{
	struct hlist_bl_node *position, *next;
	struct sf_handle *handle;

	hlist_bl_lock(bucket);
	hlist_bl_for_each_entry_safe(handle, position, next, bucket, entry) {
		if (!handle->args || (nodeid && handle->nodeid != nodeid) ||
		    (age && time_before(jiffies, handle->idle_since + age)))
			continue;
		hlist_bl_del(&handle->entry);
		list_add_tail(&handle->sent, taken);
		atomic_dec(&foreign->idle);
	}
	hlist_bl_unlock(bucket);
}

static void sf_send(struct sf_foreign *foreign, struct list_head *taken)
{
	struct sf_handle *handle, *next;

	list_for_each_entry_safe(handle, next, taken, sent) {
		sf_send_watched(foreign, handle->fm, handle->args);
		kfree(handle);
	}
}

void sf_handles_send(struct sf_foreign *foreign, u64 nodeid)
{
	LIST_HEAD(taken);

	/*
	 * A task that is about to keep one checks under the bucket's lock whether it still may: so
	 * take the locks, unless a late one is harmless.
	 */
	if (nodeid) {
		sf_take_idle(foreign, sf_bucket(foreign, nodeid), nodeid, 0, &taken);
	} else if (foreign->is_ending || atomic_read(&foreign->idle)) {
		for (u32 i = 0; i < 1U << SF_HANDLE_BITS; i++)
			sf_take_idle(foreign, &foreign->handles[i], 0, 0, &taken);
	}
	if (list_empty(&taken))
		return;
	sf_send(foreign, &taken);
	/* A daemon that does not answer delays a request only for a limited time. */
	wait_event_timeout(foreign->quiet, !atomic_read(&foreign->pending), SF_SEND_PATIENCE);
}

/* At most as long as it may be reused. */
static unsigned long sf_idle(const struct sf_foreign *foreign)
{
	return nsecs_to_jiffies(min_t(u64, foreign->open_ns, SF_IDLE * NSEC_PER_SEC));
}

/* Periodically, as long as the mount is attached. */
void sf_handles_age(struct work_struct *work)
{
	struct sf_foreign *foreign = container_of(to_delayed_work(work), struct sf_foreign, aging);
	LIST_HEAD(taken);

	if (atomic_read(&foreign->idle)) {
		for (u32 i = 0; i < 1U << SF_HANDLE_BITS; i++)
			sf_take_idle(foreign, &foreign->handles[i], 0, max(sf_idle(foreign), 1UL),
				     &taken);
		sf_send(foreign, &taken);
	}
	schedule_delayed_work(&foreign->aging, max(sf_idle(foreign) / 4, HZ / 4UL));
}

/* Call it when none is idle any more. */
void sf_handles_free(struct sf_foreign *foreign)
{
	struct hlist_bl_node *position, *next;
	struct sf_handle *handle;

	for (u32 i = 0; i < 1U << SF_HANDLE_BITS; i++) {
		hlist_bl_for_each_entry_safe(handle, position, next, &foreign->handles[i], entry)
			kfree(handle);
	}
}
