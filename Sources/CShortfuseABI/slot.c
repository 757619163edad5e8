/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#include "slot.h"

#include <sched.h>
#include <sys/ioctl.h>

_Static_assert(sizeof(struct sf_attr_slot) == 128, "two cache lines; docs and mmap rely on it");
_Static_assert(sizeof(struct fuse_attr) % sizeof(__u64) == 0, "programs copy whole words");
_Static_assert(sizeof(struct fuse_entry_out) <= SF_OUT_MAX, "LOOKUP's reply fits");
_Static_assert(SF_LONG_NAME <= SF_IN_MAX, "the longest name fits");
_Static_assert(SF_SHORT_NAME + 1 == SF_IN_SHORT, "short names, and no others, end early");

void sf_slot_lock(struct sf_attr_slot *slot)
{
	for (;;) {
		__u64 seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);

		/* The locked instruction also orders the writes that follow behind it. */
		if (!(seq & 1) && __atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
							      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return;
		sched_yield();
	}
}

void sf_slot_unlock(struct sf_attr_slot *slot)
{
	__atomic_fetch_add(&slot->seq, 1, __ATOMIC_SEQ_CST);
}

__u64 sf_slot_grant(const struct sf_attr_slot *slot)
{
	return __atomic_load_n(&slot->grant, __ATOMIC_SEQ_CST);
}

__u64 sf_slot_exchange_grant(struct sf_attr_slot *slot, __u64 tag)
{
	return __atomic_exchange_n(&slot->grant, tag << 32, __ATOMIC_SEQ_CST);
}

/* The same as libfuse's convert_stat: C5, same bytes. */
void sf_slot_write(struct sf_attr_slot *slot, __u64 nodeid, const struct stat *from)
{
	struct fuse_attr *attr = &slot->attr;

	attr->ino = from->st_ino;
	attr->size = from->st_size;
	attr->blocks = from->st_blocks;
	attr->atime = from->st_atim.tv_sec;
	attr->mtime = from->st_mtim.tv_sec;
	attr->ctime = from->st_ctim.tv_sec;
	attr->atimensec = from->st_atim.tv_nsec;
	attr->mtimensec = from->st_mtim.tv_nsec;
	attr->ctimensec = from->st_ctim.tv_nsec;
	attr->mode = from->st_mode;
	attr->nlink = from->st_nlink;
	attr->uid = from->st_uid;
	attr->gid = from->st_gid;
	attr->rdev = from->st_rdev;
	attr->blksize = from->st_blksize;
	attr->flags = 0;
	__atomic_store_n(&slot->nodeid, nodeid, __ATOMIC_RELAXED);
}

void sf_slot_clear(struct sf_attr_slot *slot)
{
	__atomic_store_n(&slot->nodeid, 0, __ATOMIC_RELAXED);
}

int sf_ioctl_attach(int device, struct sf_attach *request)
{
	return ioctl(device, SF_IOC_ATTACH, request);
}
