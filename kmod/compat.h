/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernel versions that BTF does not show, each with the version that introduced
 * it. Kbuild probes which of them this kernel has: SF_HAVE_…
 */
#ifndef SHORTFUSE_COMPAT_H
#define SHORTFUSE_COMPAT_H

#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/ftrace.h>

/* 6.9 moved the flag from bpf_prog_aux to bpf_prog. */
static inline bool sf_prog_sleepable(const struct bpf_prog *prog)
{
#ifdef SF_HAVE_PROG_SLEEPABLE
	return prog->sleepable;
#else
	return prog->aux->sleepable;
#endif
}

/* 6.2 renamed it. */
#ifndef SF_HAVE_FTRACE_REGS_SET_INSTRUCTION_POINTER
#define ftrace_regs_set_instruction_pointer ftrace_instruction_pointer_set
#endif

/* 6.17 gave the absence of WQ_UNBOUND a name, and 7.3 warns if neither is set. */
#ifdef SF_HAVE_WQ_PERCPU
#define SF_WQ_PERCPU WQ_PERCPU
#else
#define SF_WQ_PERCPU 0
#endif

/* 6.19 turned the integer into a struct, with this accessor. Under inode->i_lock. */
static inline u32 sf_inode_state(struct inode *inode)
{
#ifdef SF_HAVE_INODE_STATE_READ
	return inode_state_read(inode);
#else
	return inode->i_state;
#endif
}

/*
 * 7.2 divided the connection: what concerns the daemon's device is in its channel, struct
 * fuse_chan, which these take. In C both are an address, as returned by sf_chan_of().
 */
#ifdef SF_HAVE_FUSE_CHAN
/*
 * An aborted connection accepts no notification. So the guardian, which outlives the daemon to
 * drop what the kernel keeps, gets this time to do so and to abort the connection. Longer: a
 * daemon that waits for itself takes that long to exit.
 */
#define SF_ABORT_DELAY (30 * HZ)
#define SF_QUEUE_FORGET "fuse_chan_queue_forget"
void fuse_chan_abort(void *chan, bool abort_with_err);
static inline void sf_abort(void *chan)
{
	fuse_chan_abort(chan, false);
}
#else
#define SF_ABORT_DELAY 0
#define SF_QUEUE_FORGET "fuse_queue_forget"
void fuse_abort_conn(void *conn);
static inline void sf_abort(void *conn)
{
	fuse_abort_conn(conn);
}
#endif

#endif
