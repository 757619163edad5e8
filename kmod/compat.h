/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernel versions that BTF does not tell, each with the version that made it.
 * Which of them this kernel has is probed by Kbuild: SF_HAVE_…
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

/* 6.17 gave the absence of WQ_UNBOUND a name, and 7.3 warns without either. */
#ifdef SF_HAVE_WQ_PERCPU
#define SF_WQ_PERCPU WQ_PERCPU
#else
#define SF_WQ_PERCPU 0
#endif

/* 6.19 made the number a struct, and this its only reader. Under inode->i_lock. */
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
 * fuse_chan, and these are told that. In C both are an address, as what sf_chan_of() returns.
 */
#ifdef SF_HAVE_FUSE_CHAN
/*
 * An aborted connection takes no notification any more. So whoever outlives the daemon, to
 * drop what the kernel keeps of it, is given this time, and aborts it before. Longer: a daemon
 * that waits for itself takes as long to die.
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
