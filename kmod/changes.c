// SPDX-License-Identifier: GPL-2.0
/*
 * What each request changes, by its opcode. A request that is not known to be harmless,
 * or is not as expected, counts as a change of everything.
 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include "foreign.h"

/* Newer than the headers of 6.1; the opcodes themselves never change. */
#define SF_STATX 52

const void *sf_in(const struct fuse_args *args, u32 index, u32 size)
{
	const void *arg = SF_AT(args, in_args) + index * sf_layout.in_arg.size;

	if (index >= *(u8 *)SF_AT(args, in_numargs) || *(u32 *)SF_AT(arg, in_arg_size) < size)
		return NULL;
	return *(void **)SF_AT(arg, in_arg_value);
}

static void sf_add(struct sf_change *change, u32 stripe)
{
	if (change->count == ARRAY_SIZE(change->stripes))
		change->is_all = true;
	else
		change->stripes[change->count++] = stripe;
}

static void sf_add_node(struct sf_change *change, u64 nodeid)
{
	sf_add(change, sf_stripe_of(SF_NODE, nodeid));
	if (!sf_fault_is("attach-xattr"))
		sf_add(change, sf_stripe_of(SF_XATTR, nodeid));
}

/* The node that an argument names; everything if there is no such argument. */
static void sf_add_node_at(struct sf_change *change, const u64 *nodeid)
{
	if (nodeid)
		sf_add_node(change, *nodeid);
	else
		change->is_all = true;
}

/*
 * The name in in_args[index] is added or removed. Changes all missing names of the directory:
 * a daemon that folds case creates "a" with "A".
 */
static void sf_add_name(struct sf_change *change, const struct fuse_args *args, u64 parent,
			u32 index)
{
	const void *arg = SF_AT(args, in_args) + index * sf_layout.in_arg.size;
	const void *name = sf_in(args, index, 2);

	if (!name) {
		change->is_all = true;
		return;
	}
	sf_add(change, sf_stripe_of_name(parent, name, *(u32 *)SF_AT(arg, in_arg_size)));
	sf_add(change, sf_stripe_of(SF_LISTING, parent));
	sf_add(change, sf_stripe_of(SF_NODE, parent));
}

/* The file of the name in in_args[index]: it is about to lose a name, or to get new data. */
static void sf_add_target(struct sf_change *change, struct sf_attachment *attachment,
			  const struct fuse_args *args, u64 parent, u32 index)
{
	u64 nodeid;

	if (sf_fault_is("attach-target"))
		return;
	if (!sf_known_child(attachment, args, parent, index, &nodeid)) {
		change->is_all = true;
		return;
	}
	sf_add_node(change, nodeid);
	change->closes[change->closing++] = nodeid;
}

static void sf_add_rename(struct sf_change *change, struct sf_attachment *attachment,
			  const struct fuse_args *args, u64 parent, u64 new_parent)
{
	sf_add_name(change, args, parent, 1);
	sf_add_name(change, args, new_parent, 2);
	sf_add_target(change, attachment, args, parent, 1);
	sf_add_target(change, attachment, args, new_parent, 2);
}

/* Opening a file changes it if the open truncates it. */
static bool sf_truncates(const struct fuse_args *args)
{
	const struct fuse_open_in *in = sf_in(args, 0, sizeof(*in));

	return !in || in->flags & O_TRUNC;
}

/* FLUSH, FSYNC and RELEASE begin with the handle. */
static bool sf_may_write(const struct sf_foreign *foreign, const struct fuse_args *args, u64 nodeid)
{
	const u64 *handle = sf_in(args, 0, sizeof(*handle));

	return !handle || !sf_handle_reads(foreign, nodeid, *handle);
}

/* Programs that open a file may ask whether it is a terminal, or for the flags of chattr(1).
 * Other commands may do anything. */
static bool sf_only_asks(const struct fuse_args *args)
{
	const struct fuse_ioctl_in *in = sf_in(args, 0, sizeof(*in));

	return in && (_IOC_TYPE(in->cmd) == 'T' || in->cmd == FS_IOC_GETFLAGS ||
		      in->cmd == FS_IOC_FSGETXATTR);
}

void sf_change_of(struct sf_attachment *attachment, const struct fuse_args *args,
		  struct sf_change *change)
{
	u64 nodeid = *(u64 *)SF_AT(args, nodeid);
	const struct fuse_rename2_in *rename;
	const struct fuse_copy_file_range_in *copy;
	const struct fuse_link_in *link;

	change->count = 0;
	change->is_all = false;
	change->closing = 0;
	switch (*(u32 *)SF_AT(args, opcode)) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case SF_STATX:
	case FUSE_READLINK:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_STATFS:
	case FUSE_ACCESS:
	case FUSE_READ:
	case FUSE_LSEEK:
	case FUSE_BMAP:
	case FUSE_POLL:
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_GETLK:
	case FUSE_INTERRUPT:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return;
	case FUSE_OPEN:
		if (sf_truncates(args))
			sf_add_node(change, nodeid);
		return;
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
		if (sf_may_write(attachment->foreign, args, nodeid))
			sf_add_node(change, nodeid);
		return;
	case FUSE_SETLK:
	case FUSE_SETLKW:
		WRITE_ONCE(attachment->foreign->locks, true);
		return;
	case FUSE_IOCTL:
		change->is_all = !sf_only_asks(args);
		return;
	case FUSE_SETATTR:
	case FUSE_WRITE:
	case FUSE_FALLOCATE:
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
		sf_add_node(change, nodeid);
		return;
	case FUSE_COPY_FILE_RANGE:
		copy = sf_in(args, 0, sizeof(*copy));
		sf_add_node(change, nodeid);
		sf_add_node_at(change, copy ? &copy->nodeid_out : NULL);
		return;
	case FUSE_SYMLINK:
		sf_add_name(change, args, nodeid, 0);
		return;
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_CREATE:
		sf_add_name(change, args, nodeid, 1);
		/* Also an existing file, which is truncated. */
		if (*(u32 *)SF_AT(args, opcode) == FUSE_CREATE && sf_truncates(args))
			sf_add_target(change, attachment, args, nodeid, 1);
		return;
	case FUSE_LINK:
		link = sf_in(args, 0, sizeof(*link));
		sf_add_name(change, args, nodeid, 1);
		sf_add_node_at(change, link ? &link->oldnodeid : NULL);
		return;
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		sf_add_name(change, args, nodeid, 0);
		sf_add_target(change, attachment, args, nodeid, 0);
		return;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		/* Both begin with the new parent. */
		rename = sf_in(args, 0, sizeof(struct fuse_rename_in));
		if (rename)
			sf_add_rename(change, attachment, args, nodeid, rename->newdir);
		else
			change->is_all = true;
		return;
	default:
		change->is_all = true;
	}
}
