/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHORTFUSE_H
#define SHORTFUSE_H

#include <linux/bpf.h>
#include <linux/hashtable.h>
#include <linux/rcupdate.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include "shortfuse_abi.h"

/* Types of fs/fuse: known here by address; their fields only from the layout. */
struct fuse_args;
struct fuse_conn;
struct fuse_mount;
struct sf_foreign;

/* A connection, and the programs that answer for it. */
struct sf_attachment {
	struct hlist_node node;
	struct rcu_head rcu;
	struct work_struct work;
	struct fuse_conn *conn;
	const void *connected; /* a number: whether it lives */
	struct bpf_prog *progs[SF_OPCODES];
	struct sf_foreign *foreign; /* NULL: of our own daemon's mount */
};

/* sf_answer: not answered. Never the result of a request. */
#define SF_ASK_DAEMON LONG_MAX
/* The same on an attached mount: call sf_watch(), which asks and releases the module. */
#define SF_WATCH (LONG_MAX - 1)

/* layout.c: the layout of fs/fuse from the daemon. Set once, by the first attach. */
extern struct sf_layout sf_layout;
bool sf_layout_fits(const struct sf_layout *layout);
struct fuse_conn *sf_conn_of(const void *fuse_dev, const struct sf_layout *layout);
struct fuse_conn *sf_conn_of_mount(const void *fuse_mount, const struct sf_layout *layout);

#define SF_AT(base, field) ((void *)(base) + sf_layout.field.offset)

/* The struct of the daemon's device: the connection, since 7.2 its channel. */
static inline void *sf_chan_of(const struct fuse_conn *conn, const struct sf_layout *layout)
{
	return layout->conn_chan.size ? *(void **)((void *)conn + layout->conn_chan.offset)
				      : (void *)conn;
}

/* attach.c */
extern unsigned int sf_attached; /* how many: 0 spares every other mount the search */
/* Under rcu_read_lock_trace(), which also keeps the result alive. */
struct sf_attachment *sf_find(const struct fuse_conn *conn);
/*
 * The programs of `fds`, -1: none. Accepts only programs that can run: sleepable, and with a
 * context of the size that they get (READ's is different). sf_put_progs releases them.
 */
int sf_get_progs(struct bpf_prog **progs, const s32 *fds, u32 context, u32 read_context);
void sf_put_progs(struct bpf_prog **progs);
int sf_attach_init(void);
void sf_attach_exit(void);

/* fuse_args.end: gets the result of a background request; until 7.1 also its mount. */
typedef void (*sf_end_fn)(struct fuse_args *args, int error);
typedef void (*sf_end_mount_fn)(struct fuse_mount *fm, struct fuse_args *args, int error);

static inline void sf_call_end(void *end, struct fuse_mount *fm, struct fuse_args *args, int error)
{
	if (sf_layout.end_mount.size)
		((sf_end_mount_fn)end)(fm, args, error);
	else
		((sf_end_fn)end)(args, error);
}

static inline bool sf_flag(const struct fuse_args *args, struct sf_field bit)
{
	return ((const u8 *)args)[bit.offset / 8] >> (bit.offset % 8) & 1;
}

/*
 * Word by word, because for these few words calls of memset() and memcpy() cost more
 * than the work; WRITE_ONCE keeps the compiler from calling them.
 */
static inline void sf_zero(u8 *from, const u8 *end)
{
	for (; !IS_ALIGNED((unsigned long)from, 8); from++)
		WRITE_ONCE(*from, 0);
	for (; from < end; from += 8)
		WRITE_ONCE(*(u64 *)from, 0);
}

/* pages.c */
struct sf_sink {
	void *memory; /* or, if NULL: */
	struct page **pages;
	void *descs;
	u32 count, index; /* of pages */
	u32 done;         /* bytes of the page at index */
	bool zeroes;
};

bool sf_sink_open(struct sf_sink *sink, struct fuse_args *args);
bool sf_sink_put(struct sf_sink *sink, const void *from, u32 size);
bool sf_sink_close(struct sf_sink *sink, u32 rest);
bool sf_pages_get(struct fuse_args *args, void *to, u32 size);

/* written.c: pages that a write may have left old */
void sf_written_init(void);
void sf_note_read(const struct fuse_args *args);
void sf_note_write(const struct inode *inode);
void sf_drop_written(struct inode *inode, loff_t first, loff_t last);

/* answer.c */
bool sf_gather(struct sf_ctx *ctx, const struct fuse_args *args);
extern struct kmem_cache *sf_read_cache; /* of struct sf_read_ctx */
long sf_answer(struct fuse_mount *fm, struct fuse_args *args);
/* 0 if answered; then args has been freed. Otherwise SF_ASK_DAEMON or SF_WATCH. */
long sf_answer_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp);

/* foreign.c */
ssize_t sf_watch(void *idmap, struct fuse_mount *fm, struct fuse_args *args);
int sf_watch_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp);
/* The part of `count` that goes to the daemon. `chan`: as returned by sf_chan_of(). */
u64 sf_watch_forget(const void *chan, u64 nodeid, u64 count);
void sf_watch_destroy(struct fuse_mount *fm);
/* The daemon reports a change. */
void sf_watch_inval_inode(struct fuse_conn *conn, u64 nodeid);
void sf_watch_inval_entry(struct fuse_conn *conn, u64 parent, u64 child, const struct qstr *name);

/* hook.c */
ssize_t sf_ask(void *idmap, struct fuse_mount *fm, struct fuse_args *args);
int sf_ask_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp);
int sf_hook_init(void);
void sf_hook_exit(void);

#endif
