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

/* answer.c */
long sf_answer(struct fuse_mount *fm, struct fuse_args *args);

/* hook.c */
int sf_hook_init(void);
void sf_hook_exit(void);

#endif
