/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHORTFUSE_H
#define SHORTFUSE_H

#include <linux/bpf.h>
#include <linux/hashtable.h>
#include <linux/rcupdate.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include "shortfuse_abi.h"

/* fs/fuse's own; known here by address, and inside by the layout only. */
struct fuse_args;
struct fuse_conn;
struct fuse_mount;

/* A connection, and the programs that answer for it. */
struct sf_attachment {
	struct hlist_node node;
	struct rcu_head rcu;
	struct work_struct work;
	struct fuse_conn *conn;
	struct bpf_prog *progs[SF_OPCODES];
};

/* sf_answer's "not answered"; no request's result. */
#define SF_ASK_DAEMON LONG_MAX

/* layout.c: what the daemon said of fs/fuse. Set once, by the first attach. */
extern struct sf_layout sf_layout;
bool sf_layout_fits(const struct sf_layout *layout);
struct fuse_conn *sf_conn_of(const void *fuse_dev, const struct sf_layout *layout);

#define SF_AT(base, field) ((void *)(base) + sf_layout.field.offset)

/* attach.c */
extern unsigned int sf_attached; /* how many: 0 spares every other mount the search */
/* Under rcu_read_lock_trace(), which also keeps what it returns. */
struct sf_attachment *sf_find(const struct fuse_conn *conn);
int sf_attach_init(void);
void sf_attach_exit(void);

static inline bool sf_flag(const struct fuse_args *args, struct sf_field bit)
{
	return ((const u8 *)args)[bit.offset / 8] >> (bit.offset % 8) & 1;
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
void sf_drop_written(struct inode *inode, loff_t first, loff_t last);

/* answer.c */
extern struct kmem_cache *sf_read_cache; /* of struct sf_read_ctx */
long sf_answer(struct fuse_mount *fm, struct fuse_args *args);
/* True if answered; args is gone then. */
bool sf_answer_background(struct fuse_mount *fm, struct fuse_args *args, gfp_t gfp);

/* hook.c */
int sf_hook_init(void);
void sf_hook_exit(void);

#endif
