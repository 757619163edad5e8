/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#include "slot.h"

#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

_Static_assert(sizeof(struct sf_attr_slot) == 128, "two cache lines; docs and mmap rely on it");
_Static_assert(sizeof(struct fuse_attr) % sizeof(__u64) == 0, "programs copy whole words");
_Static_assert(sizeof(struct fuse_entry_out) <= SF_OUT_MAX, "LOOKUP's reply fits");
_Static_assert(SF_LONG_NAME <= SF_IN_MAX, "the longest name fits");
_Static_assert(SF_SHORT_NAME + 1 == SF_IN_SHORT, "short names, and no others, end early");
_Static_assert(sizeof(struct fuse_getxattr_in) + SF_REPLY_NAME <= (SF_IN_SHORT + 7) / 8 * 8,
	       "the name of an extended attribute is followed by zeros");
_Static_assert(sizeof(struct fuse_statfs_out) <= SF_REPLY_MAX, "STATFS's reply fits");
_Static_assert(SF_REPLY_MAX <= SF_OUT_MAX && SF_REPLY_MAX % 8 == 0, "programs copy whole words");

void sf_seq_lock(__u32 *at)
{
	static const struct timespec moment = {.tv_nsec = 20000};

	for (int tries = 0;; tries++) {
		__u32 seq = __atomic_load_n(at, __ATOMIC_RELAXED);

		/* The locked instruction also orders the writes that follow behind it. */
		if (!(seq & 1) && __atomic_compare_exchange_n(at, &seq, seq + 1, 0,
							      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return;
		/* A thread of higher priority yields to nobody: it has to sleep. */
		if (tries < 10)
			sched_yield();
		else
			nanosleep(&moment, NULL);
	}
}

void sf_seq_unlock(__u32 *seq)
{
	__atomic_fetch_add(seq, 1, __ATOMIC_SEQ_CST);
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
void sf_slot_write(struct sf_attr_slot *slot, __u64 nodeid, const struct stat *from, __u64 version,
		   __u32 xattr_version, __u64 kept, __u32 told)
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
	__atomic_store_n(&attr->flags, told, __ATOMIC_RELAXED);
	slot->xattr_version = xattr_version;
	slot->version = version;
	__atomic_store_n(&slot->kept, kept, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->nodeid, nodeid, __ATOMIC_RELAXED);
}

__u64 sf_slot_kept(const struct sf_attr_slot *slot)
{
	return __atomic_load_n(&slot->kept, __ATOMIC_RELAXED);
}

__u32 sf_slot_told(const struct sf_attr_slot *slot)
{
	return __atomic_load_n(&slot->attr.flags, __ATOMIC_RELAXED);
}

int sf_slot_is_same(const struct sf_attr_slot *slot, const struct stat *attributes)
{
	struct sf_attr_slot other = {0};

	sf_slot_write(&other, slot->nodeid, attributes, slot->version, slot->xattr_version, 0,
		      slot->attr.flags);
	other.attr.atime = slot->attr.atime;
	other.attr.atimensec = slot->attr.atimensec;
	other.attr.blocks = slot->attr.blocks;
	return !memcmp(&other.attr, &slot->attr, sizeof(slot->attr));
}

void sf_slot_clear(struct sf_attr_slot *slot)
{
	__atomic_store_n(&slot->nodeid, 0, __ATOMIC_RELAXED);
}

/* Prefers a block that is void or empty, then one not used since the last search here. */
struct sf_block *sf_block_victim(struct sf_block *set, __u64 nodeid, __u64 index)
{
	struct sf_block *victim = NULL;

	for (int way = 0; way < SF_WAYS; way++) {
		struct sf_block *block = &set[way];
		__u64 owner = __atomic_load_n(&block->nodeid, __ATOMIC_RELAXED);

		/* The same block in another version goes first: two would be one too many. */
		if (owner == nodeid && __atomic_load_n(&block->index, __ATOMIC_RELAXED) == index)
			return block;
		if (!owner || (!victim && !__atomic_load_n(&block->used, __ATOMIC_RELAXED)))
			victim = block;
	}
	for (int way = 0; !victim && way < SF_WAYS; way++)
		__atomic_store_n(&set[way].used, 0, __ATOMIC_RELAXED);
	return victim ? victim : &set[(nodeid ^ index) % SF_WAYS];
}

int sf_block_write(struct sf_block *block, __u64 nodeid, __u64 index, __u64 version,
		   const void *data, size_t size)
{
	int evicted = block->nodeid && (block->nodeid != nodeid || block->index != index);

	block->nodeid = nodeid;
	block->index = index;
	block->version = version;
	__atomic_store_n(&block->used, 0, __ATOMIC_RELAXED);
	memcpy(block->data, data, size);
	memset((char *)block->data + size, 0, SF_BLOCK - size);
	return evicted;
}

/* The same as libfuse's convert_statfs: C5, same bytes. */
void sf_reply_statfs(struct sf_reply *reply, const struct statvfs *from)
{
	struct fuse_statfs_out out = {
		.st =
			{
				.blocks = from->f_blocks,
				.bfree = from->f_bfree,
				.bavail = from->f_bavail,
				.files = from->f_files,
				.ffree = from->f_ffree,
				.bsize = from->f_bsize,
				.frsize = from->f_frsize,
				.namelen = from->f_namemax,
			},
	};

	memcpy(reply->bytes, &out, sizeof(out));
	reply->size = sizeof(out);
}

int sf_ioctl_attach(int device, struct sf_attach *request)
{
	return ioctl(device, SF_IOC_ATTACH, request);
}

int sf_ioctl_detach(int device)
{
	return ioctl(device, SF_IOC_DETACH);
}

int sf_ioctl_figures(int device, struct sf_figures *figures)
{
	return ioctl(device, SF_IOC_FIGURES, figures);
}
