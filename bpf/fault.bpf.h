/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Planted faults (Sources/KernelCache/Fault.swift). Without SF_FAULTS none of it is compiled.
 */
#ifndef SHORTFUSE_FAULT_BPF_H
#define SHORTFUSE_FAULT_BPF_H

#ifdef SF_FAULTS

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum {
	SF_FAULT_PAUSE = 1,      /* between finding a name and using it, to meet who changes it */
	SF_FAULT_GENERATION = 2, /* do not check that it is still the same afterwards */
};

/* Set by the daemon before load. */
const volatile __u32 sf_faults SEC(".rodata.faults");

static long fault_idle(__u32 index __attribute__((unused)), void *context __attribute__((unused)))
{
	return 0;
}

/*
 * Rare but long: the missing check shows only after a change of the name and another
 * request about the file.
 */
static __always_inline void fault_pause(void)
{
	if (sf_faults & SF_FAULT_PAUSE && !(bpf_get_prandom_u32() & 3))
		bpf_loop(1 << 18, fault_idle, 0, 0);
}

#define fault_skips_generation() (sf_faults & SF_FAULT_GENERATION)

#else

#define fault_pause()
#define fault_skips_generation() 0

#endif
#endif
