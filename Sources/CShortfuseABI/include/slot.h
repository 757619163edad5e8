/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The writer's side of struct sf_attr_slot (bpf/slot.bpf.h is the reader's).
 * In C because the slots are shared memory: every access here is an explicit
 * atomic or lies between two.
 */
#ifndef SHORTFUSE_SLOT_H
#define SHORTFUSE_SLOT_H

#include <sys/stat.h>
#include "shortfuse_abi.h"

/* Makes seq odd: programs pass, other writers wait. */
void sf_slot_lock(struct sf_attr_slot *slot);
/* Makes seq even again. */
void sf_slot_unlock(struct sf_attr_slot *slot);

/* Reads grant; may be called without the lock. */
__u64 sf_slot_grant(const struct sf_attr_slot *slot);
/* Sets the tag and a count of 0, and returns the grant until then. Under the lock. */
__u64 sf_slot_exchange_grant(struct sf_attr_slot *slot, __u64 tag);

/* Writes the attributes as libfuse would send them. Under the lock. */
void sf_slot_write(struct sf_attr_slot *slot, __u64 nodeid, const struct stat *attributes);
/* Leaves no attributes. Under the lock. */
void sf_slot_clear(struct sf_attr_slot *slot);

/* ioctl(2) is variadic, which Swift does not import. -1 and errno on error. */
int sf_ioctl_attach(int device, struct sf_attach *request);

/* The macros, for Swift. */
static inline __u64 sf_tag_of(__u64 nodeid, __u32 slot_bits)
{
	return sf_tag(nodeid, slot_bits);
}

#endif
