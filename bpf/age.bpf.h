/* SPDX-License-Identifier: GPL-2.0 */
/* On an attached mount: when map entries were learned, and until when they are valid. */
#ifndef SHORTFUSE_AGE_BPF_H
#define SHORTFUSE_AGE_BPF_H

#include "maps.bpf.h"

#define NSEC_PER_SEC 1000000000ULL
#define FOREVER (~0ULL)

/*
 * The shortest time-out, in ns, that the daemon gave for a name or attributes: replies for which
 * FUSE has no time-out are valid for this time.
 */
__u64 shortest_valid SEC(".data.own") = FOREVER;

/*
 * The same without names that do not exist, for which daemons often give none: no answer gives the
 * kernel more.
 */
__u64 shortest_kept SEC(".data.own") = FOREVER;

static __always_inline int is_attached_mount(void)
{
	return config.policy != SF_POLICY_MIRROR;
}

/* Of the entries used for an answer: the oldest time of learning, and the earliest end. */
struct age {
	__u64 learned;
	__u64 until;
};

static __always_inline void age_add(struct age *age, __u64 learned, __u64 until)
{
	if (learned < age->learned)
		age->learned = learned;
	if (until < age->until)
		age->until = until;
}

/* False if it has ended. Otherwise *left is how long the kernel may keep the answer. */
static __always_inline int age_left(const struct age *age, __u64 *left)
{
	__u64 now = bpf_ktime_get_ns(), shortest = shortest_kept;

	if (age->until <= now)
		return 0;
	*left = age->until - now;
	if (shortest < *left)
		*left = shortest;
	return 1;
}

static __always_inline __u64 valid_ns(__u64 seconds, __u32 nsec)
{
	/* More counts as forever, and would overflow. */
	return seconds > 1ULL << 32 ? FOREVER : seconds * NSEC_PER_SEC + nsec;
}

#endif
