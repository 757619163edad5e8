// SPDX-License-Identifier: GPL-2.0
/*
 * Pages: where a reply of variable length goes (or plain memory), and those of the
 * page cache that a write may have left old.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_trace.h>
#include "shortfuse.h"

bool sf_sink_open(struct sf_sink *sink, struct fuse_args *args)
{
	*sink = (struct sf_sink){};
	if (!sf_flag(args, sf_layout.out_pages)) {
		sink->memory = *(void **)SF_AT(SF_AT(args, out_args), out_arg_value);
		return sink->memory;
	}
	/* struct fuse_args_pages begins with the args: layout.c has checked it. */
	sink->pages = *(struct page ***)SF_AT(args, pages);
	sink->descs = *(void **)SF_AT(args, descs);
	sink->count = *(u32 *)SF_AT(args, num_pages);
	sink->zeroes = sf_flag(args, sf_layout.page_zeroing);
	return sink->pages && sink->descs;
}

/* The next bytes; zeros if `from` is NULL. False if there is no room. */
bool sf_sink_put(struct sf_sink *sink, const void *from, u32 size)
{
	if (sink->memory) {
		memcpy(sink->memory, from, size);
		sink->memory += size;
		return true;
	}
	while (size) {
		void *desc, *mapped;
		u32 length, offset, part;
		struct page *page;

		if (sink->index >= sink->count)
			return false;
		desc = sink->descs + sink->index * sf_layout.desc.size;
		length = *(u32 *)SF_AT(desc, desc_length);
		offset = *(u32 *)SF_AT(desc, desc_offset) + sink->done;
		if (sink->done >= length) {
			sink->index++;
			sink->done = 0;
			continue;
		}
		/* A folio of several pages has a longer description. */
		page = sink->pages[sink->index] + offset / PAGE_SIZE;
		offset %= PAGE_SIZE;
		part = min3(size, length - sink->done, (u32)PAGE_SIZE - offset);
		mapped = kmap_local_page(page);
		if (from)
			memcpy(mapped + offset, from, part);
		else
			memset(mapped + offset, 0, part);
		kunmap_local(mapped);
		flush_dcache_page(page);
		if (from)
			from += part;
		sink->done += part;
		size -= part;
	}
	return true;
}

/* The end, `rest` bytes before what was asked for: pages of the page cache get zeros. */
bool sf_sink_close(struct sf_sink *sink, u32 rest)
{
	return !sink->zeroes || sf_sink_put(sink, NULL, rest);
}

/*
 * A buffered write fills the page cache, unlocks the pages, and only then is sent.
 * If such a page is dropped before the daemon has the write, a reader puts one with
 * the old data in its place; after the write only a new mtime would have fs/fuse
 * drop it, and that is noted before the page is gone. So what was written goes here,
 * before write(2) returns. A READ that is under way is waited for: the daemon
 * answers it without the locks that the writer holds (the inode's).
 */
void sf_drop_written(struct inode *inode, loff_t first, loff_t last)
{
	struct address_space *mapping = inode->i_mapping;
	struct fuse_mount *fm = inode->i_sb->s_fs_info;
	bool is_ours;

	if (!smp_load_acquire(&sf_attached) || !READ_ONCE(mapping->nrpages))
		return;
	rcu_read_lock_trace();
	is_ours = sf_find(*(struct fuse_conn **)SF_AT(fm, mount_fc));
	rcu_read_unlock_trace();
	/* Outside of the section, which would hold up all others while this waits. */
	if (!is_ours || !try_module_get(THIS_MODULE))
		return;
	invalidate_inode_pages2_range(mapping, first >> PAGE_SHIFT, last >> PAGE_SHIFT);
	module_put(THIS_MODULE);
}
