// SPDX-License-Identifier: GPL-2.0
/*
 * A request of an attached mount that no program answered: what it changes is invalidated
 * before it is sent, and the daemon's reply is learned. The original is called, not
 * jumped to, so each request holds a reference to the module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/rcupdate_trace.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "compat.h"
#include "foreign.h"

/* Attached ones, and detached ones whose counts are not settled yet. */
static HLIST_HEAD(sf_foreigns);
static DEFINE_SPINLOCK(sf_foreigns_lock);

static bool sf_conn_bit(const struct fuse_conn *conn, struct sf_field bit)
{
	return ((const u8 *)conn)[bit.offset / 8] >> (bit.offset % 8) & 1;
}

struct fuse_conn *sf_foreign_conn(const struct file *file, const struct sf_layout *layout)
{
	const struct super_block *sb = file_inode(file)->i_sb;
	struct fuse_conn *conn;

	if (sb->s_magic != FUSE_SUPER_MAGIC || strcmp(sb->s_type->name, "fuse") ||
	    file->f_path.dentry != sb->s_root || !sb->s_fs_info)
		return ERR_PTR(-EBADF);
	conn = sf_conn_of_mount(sb->s_fs_info, layout);
	if (IS_ERR(conn))
		return conn;
	/* With these, some changes do not pass through here. */
	if (sf_conn_bit(conn, layout->conn_writeback_cache))
		return ERR_PTR(-EOPNOTSUPP);
	if (layout->conn_passthrough.size && sf_conn_bit(conn, layout->conn_passthrough))
		return ERR_PTR(-EXDEV);
	return conn;
}

static void sf_foreign_free(struct sf_foreign *foreign)
{
	sf_put_progs(foreign->learners);
	if (foreign->nodes)
		sf_nodes_free(foreign);
	if (foreign->handles)
		sf_handles_free(foreign);
	kvfree(foreign->handles);
	kvfree(foreign->nodes);
	kvfree(foreign->stripes);
	free_percpu(foreign->tally);
	kfree(foreign);
}

struct sf_foreign *sf_foreign_new(struct fuse_conn *conn, const struct sf_attach *request)
{
	struct sf_foreign *foreign = kzalloc(sizeof(*foreign), GFP_KERNEL);
	const struct sf_layout *layout = &request->layout;
	int error = -ENOMEM;

	if (!foreign)
		return ERR_PTR(-ENOMEM);
	refcount_set(&foreign->refs, 1);
	foreign->conn = conn;
	foreign->chan = sf_chan_of(conn, layout);
	foreign->uid = *(kuid_t *)((void *)conn + layout->conn_user_id.offset);
	foreign->any_uid = sf_conn_bit(conn, layout->conn_default_permissions);
	foreign->stripes = kvcalloc(1U << SF_STRIPE_BITS, sizeof(*foreign->stripes), GFP_KERNEL);
	foreign->nodes = kvcalloc(1U << SF_NODE_BITS, sizeof(*foreign->nodes), GFP_KERNEL);
	foreign->handles = kvcalloc(1U << SF_HANDLE_BITS, sizeof(*foreign->handles), GFP_KERNEL);
	foreign->tally = alloc_percpu(struct sf_tally);
	foreign->open_ns = request->open_ns;
	foreign->idle_max = min_t(u32, request->idle_max, INT_MAX);
	INIT_DELAYED_WORK(&foreign->aging, sf_handles_age);
	init_waitqueue_head(&foreign->quiet);
	if (foreign->stripes && foreign->nodes && foreign->handles && foreign->tally)
		error = sf_get_progs(foreign->learners, request->learn_fd,
				     sizeof(struct sf_learn_ctx), sizeof(struct sf_learn_ctx));
	if (error) {
		sf_foreign_free(foreign);
		return ERR_PTR(error);
	}
	/* Until the counts are settled. The caller has the device open. */
	__module_get(THIS_MODULE);
	spin_lock(&sf_foreigns_lock);
	hlist_add_head_rcu(&foreign->entry, &sf_foreigns);
	spin_unlock(&sf_foreigns_lock);
	if (foreign->open_ns)
		schedule_delayed_work(&foreign->aging, HZ);
	return foreign;
}

void sf_foreign_put(struct sf_foreign *foreign)
{
	if (refcount_dec_and_test(&foreign->refs))
		sf_foreign_free(foreign);
}

/* Nothing is kept from here on. */
static void sf_close_all(struct sf_foreign *foreign)
{
	WRITE_ONCE(foreign->is_ending, true);
	sf_handles_send(foreign, 0);
}

void sf_foreign_end(struct sf_foreign *foreign)
{
	cancel_delayed_work_sync(&foreign->aging);
	sf_close_all(foreign);
	/* A lookup that was just answered is counted in the kernel's inode a moment later. */
	for (int tries = 0; !sf_nodes_settle(foreign); tries++) {
		if (tries == 100)
			pr_warn("lookups of a detached mount are not settled yet\n");
		msleep(tries < 100 ? 10 : 1000);
	}
	spin_lock(&sf_foreigns_lock);
	hlist_del_rcu(&foreign->entry);
	spin_unlock(&sf_foreigns_lock);
	synchronize_rcu();
	sf_foreign_put(foreign);
	module_put(THIS_MODULE);
}

bool sf_serves(const struct sf_foreign *foreign)
{
	return foreign->any_uid || uid_eq(current_fsuid(), foreign->uid);
}

/* LOOKUP: its name and node have not changed. If the name does not exist: none was added. */
static bool sf_permits_lookup(struct sf_foreign *foreign, const struct sf_ctx *ctx)
{
	const struct fuse_entry_out *out = (void *)ctx->out;
	u32 name = sf_stripe_of_name(ctx->nodeid, ctx->in, ctx->in_size);

	/* The parent that ".." leads to changes without a change of it. */
	if (ctx->in[0] == '.' && (!ctx->in[1] || (ctx->in[1] == '.' && !ctx->in[2])))
		return false;
	if (!sf_unchanged(foreign, name, ctx->cookie) ||
	    !sf_unchanged(foreign, sf_stripe_of(SF_PARENT, ctx->nodeid), ctx->cookie))
		return false;
	if (ctx->error || !out->nodeid)
		return sf_unchanged(foreign, sf_stripe_of(SF_LISTING, ctx->nodeid), ctx->cookie);
	return sf_node_grant(foreign, out->nodeid, ctx->cookie);
}

bool sf_foreign_permits(struct sf_foreign *foreign, const struct sf_ctx *ctx)
{
	if (!sf_serves(foreign) || !sf_all_unchanged(foreign, ctx->cookie))
		return false;
	switch (ctx->opcode) {
	case FUSE_LOOKUP:
		return sf_permits_lookup(foreign, ctx);
	case FUSE_GETATTR:
	case FUSE_READLINK:
		return sf_unchanged(foreign, sf_stripe_of(SF_NODE, ctx->nodeid), ctx->cookie);
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return sf_unchanged(foreign, sf_stripe_of(SF_XATTR, ctx->nodeid), ctx->cookie);
	case FUSE_STATFS:
		return atomic64_read(&foreign->seq) <= ctx->cookie;
	default:
		return false;
	}
}

bool sf_known_child(struct sf_attachment *attachment, const struct fuse_args *args, u64 parent,
		    u32 index, u64 *nodeid)
{
	const void *arg = SF_AT(args, in_args) + index * sf_layout.in_arg.size;
	struct bpf_prog *prog = attachment->progs[FUSE_LOOKUP];
	const char *name = sf_in(args, index, 2);
	struct sf_ctx ctx = {.nodeid = parent, .opcode = FUSE_LOOKUP};

	if (!name || !prog)
		return false;
	ctx.in_size = *(u32 *)SF_AT(arg, in_arg_size);
	if (ctx.in_size > SF_IN_MAX)
		return false;
	memcpy(ctx.in, name, ctx.in_size);
	ctx.out_size = sizeof(struct fuse_entry_out);
	if (bpf_prog_run_pin_on_cpu(prog, &ctx) != SF_ANSWER || ctx.error ||
	    !sf_all_unchanged(attachment->foreign, ctx.cookie) ||
	    !sf_unchanged(attachment->foreign, sf_stripe_of_name(parent, name, ctx.in_size),
			  ctx.cookie) ||
	    !sf_unchanged(attachment->foreign, sf_stripe_of(SF_PARENT, parent), ctx.cookie))
		return false;
	*nodeid = ((struct fuse_entry_out *)ctx.out)->nodeid;
	return *nodeid;
}

bool sf_known_single(struct sf_attachment *attachment, u64 nodeid)
{
	struct bpf_prog *prog = attachment->progs[FUSE_GETATTR];
	struct sf_ctx ctx = {
		.nodeid = nodeid,
		.opcode = FUSE_GETATTR,
		.in_size = sizeof(struct fuse_getattr_in),
		.out_size = sizeof(struct fuse_attr_out),
	};

	return prog && bpf_prog_run_pin_on_cpu(prog, &ctx) == SF_ANSWER && !ctx.error &&
	       sf_foreign_permits(attachment->foreign, &ctx) &&
	       ((struct fuse_attr_out *)ctx.out)->attr.nlink == 1;
}

struct sf_foreign *sf_watched(struct fuse_mount *fm, const struct fuse_args *args,
			      struct sf_change *change)
{
	struct sf_foreign *foreign = NULL;
	struct sf_attachment *attachment;

	rcu_read_lock_trace();
	attachment = sf_find(*(struct fuse_conn **)SF_AT(fm, mount_fc));
	if (attachment && attachment->foreign) {
		foreign = attachment->foreign;
		refcount_inc(&foreign->refs);
		sf_change_of(attachment, args, change);
	}
	rcu_read_unlock_trace();
	return foreign;
}

bool sf_changes(const struct sf_change *change)
{
	return change->count || change->is_all;
}

static void sf_close_first(struct sf_foreign *foreign, const struct sf_change *change)
{
	if (change->is_all)
		sf_handles_send(foreign, 0);
	for (int i = 0; i < change->closing; i++)
		sf_handles_send(foreign, change->closes[i]);
}

/* If the daemon has run out of descriptors, closes the files that are kept open. */
static ssize_t sf_ask_again(struct sf_foreign *foreign, void *idmap, struct fuse_mount *fm,
			    struct fuse_args *args)
{
	ssize_t result = sf_ask(idmap, fm, args);

	if ((result != -EMFILE && result != -ENFILE) || !atomic_read(&foreign->idle))
		return result;
	sf_handles_send(foreign, 0);
	return sf_ask(idmap, fm, args);
}

ssize_t sf_watch(void *idmap, struct fuse_mount *fm, struct fuse_args *args)
{
	struct sf_change change;
	struct sf_foreign *foreign = sf_watched(fm, args, &change);
	u32 opcode = *(u32 *)SF_AT(args, opcode);
	u64 since, asked;
	ssize_t result;

	if (!foreign) {
		result = sf_ask(idmap, fm, args);
	} else if (opcode == FUSE_FORGET) {
		/* One lookup, of an entry of READDIRPLUS that the kernel does not take. */
		result = sf_node_forget(foreign, *(u64 *)SF_AT(args, nodeid), 1)
				 ? sf_ask(idmap, fm, args)
				 : 0;
	} else if (sf_changes(&change)) {
		sf_begin(foreign, &change);
		/* From here on none of these handles is kept or reused. */
		sf_close_first(foreign, &change);
		result = sf_ask_again(foreign, idmap, fm, args);
		sf_end(foreign, &change);
	} else {
		if (opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR)
			sf_handle_closed(foreign, *(u64 *)SF_AT(args, nodeid),
					 *(u64 *)sf_in(args, 0, 8));
		since = atomic64_read_acquire(&foreign->seq);
		asked = ktime_get_ns();
		result = sf_ask_again(foreign, idmap, fm, args);
		if (opcode == FUSE_READDIRPLUS)
			sf_learn_entries(foreign, args, result);
		else
			sf_learn(foreign, args, result, since, asked);
		if ((opcode == FUSE_OPEN || opcode == FUSE_OPENDIR) && !result)
			sf_handle_opened(foreign, args, since, asked);
	}
	if (foreign)
		sf_foreign_put(foreign);
	module_put(THIS_MODULE);
	return result;
}

u64 sf_watch_forget(const void *chan, u64 nodeid, u64 count)
{
	struct sf_foreign *foreign;

	rcu_read_lock();
	hlist_for_each_entry_rcu(foreign, &sf_foreigns, entry) {
		if (foreign->chan == chan && count)
			count = sf_node_forget(foreign, nodeid, count);
	}
	rcu_read_unlock();
	return count;
}

static void sf_watch_notify(struct fuse_conn *conn, const struct sf_change *change)
{
	struct sf_foreign *foreign;

	rcu_read_lock();
	hlist_for_each_entry_rcu(foreign, &sf_foreigns, entry) {
		if (foreign->conn == conn)
			sf_touch(foreign, change);
	}
	rcu_read_unlock();
}

void sf_watch_inval_inode(struct fuse_conn *conn, u64 nodeid)
{
	const struct sf_change change = {
		.stripes = {sf_stripe_of(SF_NODE, nodeid), sf_stripe_of(SF_XATTR, nodeid)},
		.count = 2,
	};

	sf_watch_notify(conn, &change);
}

void sf_watch_inval_entry(struct fuse_conn *conn, u64 parent, u64 child, const struct qstr *name)
{
	const struct sf_change change = {
		.stripes = {sf_stripe_of_name(parent, name->name, name->len),
			    sf_stripe_of(SF_LISTING, parent), sf_stripe_of(SF_NODE, parent),
			    sf_stripe_of(SF_NODE, child), sf_stripe_of(SF_XATTR, child)},
		.count = 5,
	};

	sf_watch_notify(conn, &change);
}

/* The mount ends: send what was kept first; otherwise its inodes would be busy. */
void sf_watch_destroy(struct fuse_mount *fm)
{
	struct sf_foreign *foreign, *found = NULL;
	struct fuse_conn *conn;

	if (hlist_empty(&sf_foreigns))
		return;
	conn = *(struct fuse_conn **)SF_AT(fm, mount_fc);
	rcu_read_lock();
	hlist_for_each_entry_rcu(foreign, &sf_foreigns, entry) {
		if (foreign->conn == conn && refcount_inc_not_zero(&foreign->refs)) {
			found = foreign;
			/* In the list: it has one itself. */
			__module_get(THIS_MODULE);
			break;
		}
	}
	rcu_read_unlock();
	if (!found)
		return;
	sf_close_all(found);
	sf_foreign_put(found);
	module_put(THIS_MODULE);
}
