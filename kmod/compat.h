/* SPDX-License-Identifier: GPL-2.0 */
/* Differences between kernel versions, each with the version that made it. */
#ifndef SHORTFUSE_COMPAT_H
#define SHORTFUSE_COMPAT_H

#include <linux/bpf.h>
#include <linux/ftrace.h>
#include <linux/version.h>

/* 6.9 moved the flag from bpf_prog_aux to bpf_prog. */
static inline bool sf_prog_sleepable(const struct bpf_prog *prog)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	return prog->sleepable;
#else
	return prog->aux->sleepable;
#endif
}

/* 6.2 renamed it. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define ftrace_regs_set_instruction_pointer ftrace_instruction_pointer_set
#endif

#endif
