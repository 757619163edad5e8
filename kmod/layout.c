// SPDX-License-Identifier: GPL-2.0
/*
 * Validation of the layout. The daemon reads it from BTF; a wrong one would make
 * the hook read and write random memory. So every field must fit in its struct
 * without overlapping others, with a size that the hook knows; and the connection
 * must be found where the layout says, both from the device and from the mount.
 */
#include <linux/align.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include "shortfuse.h"

struct sf_layout sf_layout;

/* No struct that the hook uses is larger (fuse_conn is about 1 KiB). */
#define SF_STRUCT_MAX 4096

static bool sf_within(struct sf_field field, u16 size, u32 room)
{
	return field.size == size && IS_ALIGNED(field.offset, min_t(u16, size, 8)) &&
	       field.offset + field.size <= room;
}

static bool sf_number_within(struct sf_field field, u32 room)
{
	return (field.size == 1 || field.size == 2 || field.size == 4) &&
	       sf_within(field, field.size, room);
}

static bool sf_arg_fits(struct sf_field array, struct sf_field arg, struct sf_field size,
			struct sf_field value, u32 room)
{
	return arg.offset == 0 && arg.size == 16 && sf_within(size, sizeof(u32), arg.size) &&
	       sf_within(value, sizeof(void *), arg.size) && abs(size.offset - value.offset) >= 8 &&
	       IS_ALIGNED(array.offset, 8) && array.size && array.size % arg.size == 0 &&
	       array.offset + array.size <= room;
}

/* Bits count as the bytes that contain them. */
static bool sf_disjoint(const struct sf_layout *layout)
{
	const struct sf_field fields[] = {
		layout->nodeid,
		layout->opcode,
		layout->in_numargs,
		layout->out_numargs,
		layout->in_args,
		layout->out_args,
		layout->end,
		{layout->in_pages.offset / 8, 1},
		{layout->out_pages.offset / 8, 1},
		{layout->out_argvar.offset / 8, 1},
		{layout->page_zeroing.offset / 8, 1},
	};
	const int whole = 7;

	for (int i = 0; i < whole; i++) {
		for (int j = i + 1; j < ARRAY_SIZE(fields); j++) {
			if (fields[i].offset < fields[j].offset + fields[j].size &&
			    fields[j].offset < fields[i].offset + fields[i].size)
				return false;
		}
	}
	return layout->in_pages.offset != layout->out_pages.offset &&
	       layout->in_pages.offset != layout->out_argvar.offset &&
	       layout->out_pages.offset != layout->out_argvar.offset &&
	       layout->page_zeroing.offset != layout->in_pages.offset &&
	       layout->page_zeroing.offset != layout->out_pages.offset &&
	       layout->page_zeroing.offset != layout->out_argvar.offset;
}

/* The pages follow the args, whose address is used to find them. */
static bool sf_pages_fit(const struct sf_layout *layout)
{
	u32 desc = layout->desc.size;

	return sf_within(layout->pages, sizeof(void *), SF_STRUCT_MAX) &&
	       sf_within(layout->descs, sizeof(void *), SF_STRUCT_MAX) &&
	       sf_within(layout->num_pages, sizeof(u32), SF_STRUCT_MAX) &&
	       layout->pages.offset >= layout->args.size &&
	       layout->descs.offset >= layout->args.size &&
	       layout->num_pages.offset >= layout->args.size &&
	       abs(layout->pages.offset - layout->descs.offset) >= 8 &&
	       abs(layout->num_pages.offset - layout->descs.offset) >= 4 &&
	       layout->num_pages.offset != layout->pages.offset && layout->desc.offset == 0 &&
	       desc == 8 && sf_within(layout->desc_length, sizeof(u32), desc) &&
	       sf_within(layout->desc_offset, sizeof(u32), desc) &&
	       layout->desc_length.offset != layout->desc_offset.offset;
}

static bool sf_bit_within(struct sf_field bit, u32 room)
{
	return bit.size == 1 && bit.offset / 8 < room;
}

/* FUSE's fields of an inode follow the inode, and do not overlap. */
static bool sf_inode_fits(const struct sf_layout *layout)
{
	return sf_within(layout->inode_nodeid, sizeof(u64), SF_STRUCT_MAX) &&
	       sf_within(layout->inode_nlookup, sizeof(u64), SF_STRUCT_MAX) &&
	       sf_within(layout->inode_lock, sizeof(spinlock_t), SF_STRUCT_MAX) &&
	       layout->inode_nodeid.offset >= sizeof(struct inode) &&
	       layout->inode_nlookup.offset >= sizeof(struct inode) &&
	       layout->inode_lock.offset >= sizeof(struct inode) &&
	       layout->inode_nodeid.offset != layout->inode_nlookup.offset &&
	       layout->inode_lock.offset != layout->inode_nodeid.offset &&
	       layout->inode_lock.offset != layout->inode_nlookup.offset;
}

/* The channel is where it must be for the functions that this module was built for. */
static bool sf_chan_fits(const struct sf_layout *layout)
{
#ifdef SF_HAVE_FUSE_CHAN
	return sf_within(layout->conn_chan, sizeof(void *), SF_STRUCT_MAX) &&
	       sf_within(layout->chan_conn, sizeof(void *), SF_STRUCT_MAX);
#else
	return !layout->conn_chan.size && !layout->chan_conn.size;
#endif
}

bool sf_layout_fits(const struct sf_layout *layout)
{
	u32 room = layout->args.size;

	return layout->args.offset == 0 && room <= SF_STRUCT_MAX &&
	       sf_within(layout->nodeid, sizeof(u64), room) &&
	       sf_within(layout->opcode, sizeof(u32), room) &&
	       sf_number_within(layout->in_numargs, room) &&
	       sf_number_within(layout->out_numargs, room) &&
	       sf_arg_fits(layout->in_args, layout->in_arg, layout->in_arg_size,
			   layout->in_arg_value, room) &&
	       sf_arg_fits(layout->out_args, layout->out_arg, layout->out_arg_size,
			   layout->out_arg_value, room) &&
	       sf_bit_within(layout->in_pages, room) && sf_bit_within(layout->out_pages, room) &&
	       sf_bit_within(layout->out_argvar, room) &&
	       sf_bit_within(layout->page_zeroing, room) &&
	       sf_within(layout->end, sizeof(void *), room) &&
	       (!layout->end_mount.size || layout->end_mount.size == sizeof(void *)) &&
	       sf_disjoint(layout) && sf_chan_fits(layout) && sf_pages_fit(layout) &&
	       sf_within(layout->mount_fc, sizeof(void *), SF_STRUCT_MAX) &&
	       sf_within(layout->mount_entry, sizeof(struct list_head), SF_STRUCT_MAX) &&
	       sf_within(layout->dev_fc, sizeof(void *), SF_STRUCT_MAX) &&
	       sf_within(layout->conn_mounts, sizeof(struct list_head), SF_STRUCT_MAX) &&
	       sf_number_within(layout->conn_connected, SF_STRUCT_MAX) &&
	       sf_within(layout->conn_user_id, sizeof(kuid_t), SF_STRUCT_MAX) &&
	       sf_bit_within(layout->conn_default_permissions, SF_STRUCT_MAX) &&
	       sf_bit_within(layout->conn_writeback_cache, SF_STRUCT_MAX) &&
	       layout->conn_default_permissions.offset != layout->conn_writeback_cache.offset &&
	       (!layout->conn_passthrough.size ||
		sf_bit_within(layout->conn_passthrough, SF_STRUCT_MAX)) &&
	       sf_inode_fits(layout);
}

/* Reads a word from anywhere, mapped or not. */
static bool sf_peek(const void *at, void **word)
{
	return !copy_from_kernel_nofault(word, at, sizeof(*word));
}

/* A connection must lead to its first mount and its channel and back; otherwise the layout is
 * not this kernel's. */
static struct fuse_conn *sf_check_conn(void *conn, const struct sf_layout *layout)
{
	void *chan = conn, *entry, *back, *word;
	u32 connected;

	if (!sf_peek(conn + layout->conn_mounts.offset, &entry) ||
	    entry == conn + layout->conn_mounts.offset ||
	    !sf_peek(entry - layout->mount_entry.offset + layout->mount_fc.offset, &back) ||
	    back != conn)
		return ERR_PTR(-EINVAL);

	if (layout->conn_chan.size &&
	    (!sf_peek(conn + layout->conn_chan.offset, &chan) ||
	     !sf_peek(chan + layout->chan_conn.offset, &back) || back != conn))
		return ERR_PTR(-EINVAL);
	if (!sf_peek(chan + round_down(layout->conn_connected.offset, 8), &word))
		return ERR_PTR(-EINVAL);
	connected = (unsigned long)word >> (layout->conn_connected.offset % 8 * 8) &
		    GENMASK(layout->conn_connected.size * 8 - 1, 0);
	if (connected > 1)
		return ERR_PTR(-EINVAL);
	return connected ? conn : ERR_PTR(-ENOTCONN);
}

/* The connection of an open /dev/fuse. */
struct fuse_conn *sf_conn_of(const void *fuse_dev, const struct sf_layout *layout)
{
	void *conn;

	if (!sf_peek(fuse_dev + layout->dev_fc.offset, &conn))
		return ERR_PTR(-EINVAL);
	/* NULL or a marker for a device that is not mounted; until 7.1 it has no fuse_dev. */
	if ((unsigned long)conn < PAGE_SIZE)
		return ERR_PTR(-ENOTCONN);
	if (layout->chan_conn.size && !sf_peek(conn + layout->chan_conn.offset, &conn))
		return ERR_PTR(-EINVAL);
	return sf_check_conn(conn, layout);
}

/* The connection of s_fs_info of a FUSE super block. */
struct fuse_conn *sf_conn_of_mount(const void *fuse_mount, const struct sf_layout *layout)
{
	void *conn;

	if (!sf_peek(fuse_mount + layout->mount_fc.offset, &conn))
		return ERR_PTR(-EINVAL);
	return sf_check_conn(conn, layout);
}
