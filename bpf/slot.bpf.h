/* SPDX-License-Identifier: GPL-2.0 */
/* The reader's side of struct sf_attr_slot; the daemon's is Sources/CShortfuseABI/slot.c. */
#ifndef SHORTFUSE_SLOT_BPF_H
#define SHORTFUSE_SLOT_BPF_H

#include "age.bpf.h"
#include "maps.bpf.h"

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/*
 * Keeps the compiler from moving loads; x86 itself keeps loads in order, which
 * the sequence count relies on. Another architecture needs a real barrier.
 */
#define barrier() asm volatile("" ::: "memory")

/* An attribute is copied word by word, for constant offsets into the context. */
#define ATTR_WORDS (sizeof(struct fuse_attr) / sizeof(__u64))

/*
 * How often a program retries to count a lookup while others are counting. More
 * tries: longer worst case; fewer: more requests to the daemon under contention.
 */
#define GRANT_TRIES 64

/*
 * Where nodeid is, if anywhere. Of an attached mount, whose nodeids are any numbers: that slot of
 * its set which has it, else the last one. Two may have it, if it was learned twice at the same
 * moment: either is true until something changes it or its time is over.
 */
static __always_inline struct sf_attr_slot *slot_of(__u64 nodeid)
{
	__u32 mask = (1U << config.slot_bits) - 1, index = nodeid & mask;
	struct sf_attr_slot *slot;

	if (!is_attached_mount())
		return bpf_map_lookup_elem(&attrs, &index);
	index = sf_slot_hash(nodeid) & mask & ~(SF_SLOT_WAYS - 1);
#pragma unroll
	for (int way = 0; way < SF_SLOT_WAYS; way++, index++) {
		slot = bpf_map_lookup_elem(&attrs, &index);
		if (slot && READ_ONCE(slot->nodeid) == nodeid)
			break;
	}
	return slot;
}

/* Of an attached mount: where to put nodeid. Any slot of its set if all are in use. */
static __always_inline struct sf_attr_slot *slot_for(__u64 nodeid, __u64 random)
{
	struct sf_attr_slot *slot = slot_of(nodeid);
	__u32 first = sf_slot_hash(nodeid) & ((1U << config.slot_bits) - 1) & ~(SF_SLOT_WAYS - 1);
	__u32 index = first;

	if (slot && READ_ONCE(slot->nodeid) == nodeid)
		return slot;
#pragma unroll
	for (int way = 0; way < SF_SLOT_WAYS; way++, index++) {
		slot = bpf_map_lookup_elem(&attrs, &index);
		if (slot && !READ_ONCE(slot->nodeid))
			return slot;
	}
	index = first | (random & (SF_SLOT_WAYS - 1));
	return bpf_map_lookup_elem(&attrs, &index);
}

/* False for what was published before everything was dropped, and once the lease has ended. */
static __always_inline int is_valid(__u64 number)
{
	__u64 lease = READ_ONCE(validity.lease);

	return number >= READ_ONCE(validity.from) && (!lease || bpf_ktime_get_ns() < lease);
}

/*
 * Starts reading a slot: false if it does not hold nodeid. What is read then is
 * valid only if slot_is_same() returns true afterwards.
 */
static __always_inline int slot_begin(struct sf_attr_slot *slot, __u64 nodeid, __u32 *seq)
{
	*seq = READ_ONCE(slot->seq);
	/* 0 marks an empty slot. */
	if (*seq & 1 || !nodeid || READ_ONCE(slot->nodeid) != nodeid ||
	    !is_valid(READ_ONCE(slot->version)))
		return 0;
	barrier();
	return 1;
}

static __always_inline int slot_is_same(struct sf_attr_slot *slot, __u32 seq)
{
	barrier();
	return READ_ONCE(slot->seq) == seq;
}

/*
 * Copies nodeid's attributes to `out` (in the context), and on an attached mount updates
 * `age`. False if the slot does not hold them, or was written meanwhile: then `out`
 * is garbage.
 */
static __always_inline int slot_copy(struct sf_attr_slot *slot, __u64 nodeid, volatile __u64 *out,
				     struct age *age)
{
	volatile __u64 *attr = (volatile __u64 *)&slot->attr;
	__u32 seq;

	if (!slot_begin(slot, nodeid, &seq))
		return 0;
#pragma unroll
	for (int i = 0; i < ATTR_WORDS; i++)
		out[i] = attr[i];
	if (is_attached_mount())
		age_add(age, READ_ONCE(slot->version), READ_ONCE(slot->kept));
	return slot_is_same(slot, seq);
}

/* The time in ticks of 2^20 ns; read it before the slot. */
static __always_inline __u32 ticks(void)
{
	return config.attr_valid ? bpf_ktime_get_ns() >> 20 : 0;
}

/*
 * Seconds for which the kernel may keep the attributes that were copied after
 * `now`, and of which `told` is attr.flags. The first answer records its time; a late
 * record may apply to newer attributes that were not returned yet, and only starts their
 * settling too early.
 *
 * The daemon, when it removes attributes from a slot, reads the record and then the
 * clock. So if they were settled for this answer, they are settled for the daemon.
 */
static __always_inline __u32 attr_valid(struct sf_attr_slot *slot, __u32 told, __u32 now)
{
	if (!config.attr_valid || told == SF_TOLD_NEVER)
		return 0;
	if (told == SF_TOLD_ALWAYS)
		return config.attr_valid;
	if (!told) {
		__sync_val_compare_and_swap(&slot->attr.flags, 0, now ?: 1);
		return 0;
	}
	return now - told >= config.settle_ticks ? config.attr_valid : 0;
}

/*
 * Counts one lookup granted to nodeid. False if the slot belongs to another
 * node or was retired; then nothing is counted.
 */
static __always_inline int slot_grant(struct sf_attr_slot *slot, __u64 nodeid)
{
	__u64 tag = sf_tag(nodeid, config.slot_bits);

	for (int i = 0; i < GRANT_TRIES; i++) {
		__u64 grant = READ_ONCE(slot->grant);

		if (grant >> 32 != tag || (grant & SF_GRANT_COUNT) == SF_GRANT_COUNT)
			return 0;
		if (__sync_val_compare_and_swap(&slot->grant, grant, grant + 1) == grant)
			return 1;
	}
	return 0;
}

/* Unrolled, for constant offsets: `from` is in the context. */
static __always_inline void copy_words(char *to, const __u8 *from, int bytes)
{
#pragma unroll
	for (int i = 0; i < bytes / 8; i++)
		((__u64 *)to)[i] = ((const volatile __u64 *)from)[i];
}

#endif
