/* SPDX-License-Identifier: GPL-2.0 */
/* A connection whose daemon does not know about us: see docs/architecture.md, "Attached mounts". */
#ifndef SHORTFUSE_FOREIGN_H
#define SHORTFUSE_FOREIGN_H

#include <linux/atomic.h>
#include <linux/processor.h> /* list_bl.h forgets it */
#include <linux/list_bl.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "fault.h"
#include "shortfuse.h"

/* More bits: fewer answers are void because of a change with the same stripe; 16 bytes
 * each. */
#define SF_STRIPE_BITS 14
/* Buckets of the node table. More: shorter chains with many nodes; 8 bytes each. */
#define SF_NODE_BITS 14
/* Buckets of the open handles. */
#define SF_HANDLE_BITS 10

/* The last change of anything that maps to it. */
struct sf_stripe {
	atomic_t changing; /* changes in progress */
	atomic64_t seq;    /* the count of changes when the last one began or ended */
};

/* How requests were answered, on one CPU. */
struct sf_tally {
	u64 answered[SF_OPCODES];
	u64 asked[SF_OPCODES];
};

struct sf_foreign {
	struct hlist_node entry;
	struct sf_tally __percpu *tally;
	refcount_t refs;
	struct fuse_conn *conn;
	const void *chan; /* of sf_chan_of(): what FORGETs come with */
	struct bpf_prog *learners[SF_OPCODES];
	/* Without default_permissions the daemon decides by caller: only this one is answered. */
	kuid_t uid;
	bool any_uid;
	/* A learner has kept something. Until then no program runs: it would know nothing. */
	bool has_learned;
	atomic64_t seq;       /* counts the beginnings and ends of changes */
	struct sf_stripe all; /* changes that may concern anything */
	struct sf_stripe *stripes;
	struct hlist_bl_head *nodes;
	struct hlist_bl_head *handles;
	/* For how long a handle may be reused; 0: never, U64_MAX: until something changes.
	 */
	u64 open_ns;
	int idle_max;
	atomic_t idle; /* handles whose RELEASE is kept */
	bool is_ending;
	bool locks; /* a file was locked: a FLUSH may unlock it */
	struct delayed_work aging;
	atomic_t pending; /* background requests that are watched */
	wait_queue_head_t quiet;
};

/* What a stripe stands for. */
enum sf_kind {
	SF_NODE,
	SF_XATTR,
	SF_NAME,
	SF_LISTING,
	SF_PARENT /* what its number is of, for the names in it */
};

/* What a request changes. */
struct sf_change {
	u32 stripes[12];
	u8 count;
	bool is_all;
	u8 closing; /* nodes that must have no kept handle when it is sent */
	u64 closes[2];
};

/* stripes.c */
u32 sf_stripe_of(enum sf_kind kind, u64 nodeid);
u32 sf_stripe_of_name(u64 parent, const void *name, u32 size);
void sf_begin(struct sf_foreign *foreign, const struct sf_change *change);
void sf_end(struct sf_foreign *foreign, const struct sf_change *change);
/* A change that has ended, or that the daemon has reported. */
void sf_touch(struct sf_foreign *foreign, const struct sf_change *change);
bool sf_unchanged(const struct sf_foreign *foreign, u32 stripe, u64 since);
bool sf_all_unchanged(const struct sf_foreign *foreign, u64 since);

/* changes.c */
void sf_change_of(struct sf_attachment *attachment, const struct fuse_args *args,
		  struct sf_change *change);
/* The argument at `index` of a request, of at least `size` bytes; NULL if there is none. */
const void *sf_in(const struct fuse_args *args, u32 index, u32 size);

/* nodes.c */
int sf_nodes_init(void);
void sf_nodes_exit(void);
/* The daemon has counted a lookup of nodeid that the kernel has not forgotten yet. */
void sf_node_seen(struct sf_foreign *foreign, u64 nodeid);
/* Counts one more lookup, if the node is known and has not changed since. */
bool sf_node_grant(struct sf_foreign *foreign, u64 nodeid, u64 since);
/* Subtracts from `count` what the daemon has not counted, and returns the rest, for the daemon.
 */
u64 sf_node_forget(struct sf_foreign *foreign, u64 nodeid, u64 count);
/* Subtracts what the daemon has not counted from the kernel's own counts. False if some is left. */
bool sf_nodes_settle(struct sf_foreign *foreign);
/* Lookups that the daemon has not counted. */
u64 sf_nodes_granted(const struct sf_foreign *foreign);
void sf_nodes_free(struct sf_foreign *foreign);

/* handles.c */
void sf_handle_opened(struct sf_foreign *foreign, const struct fuse_args *args, u64 since,
		      u64 asked);
bool sf_handle_reads(const struct sf_foreign *foreign, u64 nodeid, u64 number);
/* When an open handle was opened: the changes till then, and the time. False if it is not known. */
bool sf_handle_age(const struct sf_foreign *foreign, u64 nodeid, u64 number, u64 *since,
		   u64 *asked);
void sf_handle_closed(struct sf_foreign *foreign, u64 nodeid, u64 number);
/* RELEASE, RELEASEDIR: true if it is kept. */
bool sf_handle_keep(struct sf_foreign *foreign, struct fuse_mount *fm, struct fuse_args *args);
/* OPEN, OPENDIR: true if it is answered, with a kept handle. */
bool sf_handle_lend(struct sf_foreign *foreign, const struct fuse_args *args);
/* Sends what is kept of nodeid (0: of all), and waits for the daemon with a limit. */
void sf_handles_send(struct sf_foreign *foreign, u64 nodeid);
void sf_handles_age(struct work_struct *work);
void sf_handles_free(struct sf_foreign *foreign);

/* learn.c */
/* The reply to a request that was asked after `since` changes, at time `asked`. */
void sf_learn(struct sf_foreign *foreign, struct fuse_args *args, ssize_t result, u64 since,
	      u64 asked);
/* READDIRPLUS: its entries. */
void sf_learn_entries(struct sf_foreign *foreign, struct fuse_args *args, ssize_t size);

/* background.c: sends a background request, and watches it until it ends. */
void sf_send_watched(struct sf_foreign *foreign, struct fuse_mount *fm, struct fuse_args *args);

/* figures.c */
/* Counts a request, which was answered here or not. */
void sf_count(struct sf_foreign *foreign, u32 opcode, bool is_answered);
/* SF_IOC_FIGURES */
long sf_figures_ioctl(struct sf_figures __user *argument);

/* foreign.c */
/* Whether the caller is one whose requests are answered and learned from. */
bool sf_serves(const struct sf_foreign *foreign);
/* The node that a name was last known to lead to, if that is still valid. */
bool sf_known_child(struct sf_attachment *attachment, const struct fuse_args *args, u64 parent,
		    u32 index, u64 *nodeid);
struct sf_foreign *sf_foreign_new(struct fuse_conn *conn, const struct sf_attach *request);
void sf_foreign_put(struct sf_foreign *foreign);
/* Detached: settles the counts, then releases it. */
void sf_foreign_end(struct sf_foreign *foreign);
/* The connection of the mount that `file` is the root of. */
struct fuse_conn *sf_foreign_conn(const struct file *file, const struct sf_layout *layout);
/* OPEN, OPENDIR and FLUSH. */
long sf_answer_handle(struct sf_attachment *attachment, const struct fuse_args *args);
/* Whether nodeid is known to have no other name. */
bool sf_known_single(struct sf_attachment *attachment, u64 nodeid);
/* Whether a program's answer is still valid, and the lookup that it grants has been counted. */
bool sf_foreign_permits(struct sf_foreign *foreign, const struct sf_ctx *ctx);
/* The attached mount of a request, with a reference, or NULL; and what the request changes. */
struct sf_foreign *sf_watched(struct fuse_mount *fm, const struct fuse_args *args,
			      struct sf_change *change);
bool sf_changes(const struct sf_change *change);

#endif
