/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The writer's side of struct sf_attr_slot and struct sf_block (bpf/slot.bpf.h
 * is the reader's). In C because they are shared memory: every access is an
 * explicit atomic or is between two.
 */
#ifndef SHORTFUSE_SLOT_H
#define SHORTFUSE_SLOT_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "shortfuse_abi.h"

/* Makes seq odd: programs pass, other writers wait. */
void sf_seq_lock(__u32 *seq);
/* Makes seq even again. */
void sf_seq_unlock(__u32 *seq);

/* Reads grant; may be called without the lock. */
__u64 sf_slot_grant(const struct sf_attr_slot *slot);
/* Sets the tag and a count of 0, and returns the previous grant. Under the lock. */
__u64 sf_slot_exchange_grant(struct sf_attr_slot *slot, __u64 tag);

/* Writes the attributes as libfuse would send them. Under the lock. */
void sf_slot_write(struct sf_attr_slot *slot, __u64 nodeid, const struct stat *attributes,
		   __u64 version, __u32 xattr_version, __u64 kept, __u32 told);
/* Reads kept, which programs also write. */
__u64 sf_slot_kept(const struct sf_attr_slot *slot);
/* Reads attr.flags, which programs also write. */
__u32 sf_slot_told(const struct sf_attr_slot *slot);
/*
 * True if the slot has these attributes. Does not compare those that a source changes by itself:
 * the access time, and blocks. Under the lock.
 */
int sf_slot_is_same(const struct sf_attr_slot *slot, const struct stat *attributes);
/* Removes the attributes. Under the lock. */
void sf_slot_clear(struct sf_attr_slot *slot);

/* Where to put a block of a file: an element of its set. Takes no lock; only a choice. */
struct sf_block *sf_block_victim(struct sf_block *set, __u64 nodeid, __u64 index);
/* Writes a block, `size` bytes of it. Under the lock. True if another one was evicted. */
int sf_block_write(struct sf_block *block, __u64 nodeid, __u64 index, __u64 version,
		   const void *data, size_t size);

/* The reply to STATFS as libfuse would send it. */
void sf_reply_statfs(struct sf_reply *reply, const struct statvfs *statistics);

/* ioctl(2) is variadic, which Swift does not import. -1 and errno on error. */
int sf_ioctl_attach(int device, struct sf_attach *request);
int sf_ioctl_detach(int device);
int sf_ioctl_figures(int device, struct sf_figures *figures);

/* The macros, for Swift. */
static inline __u64 sf_tag_of(__u64 nodeid, __u32 slot_bits)
{
	return sf_tag(nodeid, slot_bits);
}
static inline __u32 sf_block_set_of(__u64 nodeid, __u64 index, __u32 sets)
{
	return sf_block_set(nodeid, index, sets);
}
static const __u64 sf_fh_reserved = SF_FH_RESERVED;

#endif
