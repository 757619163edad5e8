// SPDX-License-Identifier: GPL-2.0
/* The destination or the place of a reply of variable length: pages, or plain memory. */
#include <linux/highmem.h>
#include <linux/mm.h>
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

/* Appends bytes; zeros if `from` is NULL. False if they do not fit. */
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

/* The end, `rest` bytes short of the request: pages of the page cache are zeroed. */
bool sf_sink_close(struct sf_sink *sink, u32 rest)
{
	return !sink->zeroes || sf_sink_put(sink, NULL, rest);
}

/* The first bytes of a reply in one page. False if there is no such page. */
bool sf_pages_get(struct fuse_args *args, void *to, u32 size)
{
	u32 length, offset;
	struct sf_sink sink;
	void *mapped;

	if (!sf_sink_open(&sink, args) || !sink.pages || sink.count != 1)
		return false;
	length = *(u32 *)SF_AT(sink.descs, desc_length);
	offset = *(u32 *)SF_AT(sink.descs, desc_offset);
	if (offset >= PAGE_SIZE || size > min_t(u32, length, PAGE_SIZE - offset))
		return false;
	mapped = kmap_local_page(sink.pages[0]);
	memcpy(to, mapped + offset, size);
	kunmap_local(mapped);
	return true;
}
