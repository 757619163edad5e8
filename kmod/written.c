// SPDX-License-Identifier: GPL-2.0
/*
 * A buffered write fills the page cache, unlocks the pages, and only then is sent.
 * If such a page is dropped before the daemon has the write, a reader replaces it by one
 * with the old data. After the write only a new mtime makes fs/fuse drop that page, and the
 * mtime is recorded before the page is dropped. So if a READ began during a write, the
 * written pages are dropped before write(2) returns. Without a READ there cannot be an old
 * page, and the written pages stay in the cache.
 */
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_trace.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include "shortfuse.h"

/*
 * More: fewer files share a count, so fewer writes drop pages because of a READ of another
 * file; 8 and 32 bytes each.
 */
#define SF_TABLE_BITS 10

/* The number of READs that began, by file. */
static atomic64_t sf_reads[1 << SF_TABLE_BITS];

/* Their number when a task began to write; the next task with the same hash takes the slot. */
static struct sf_writer {
	spinlock_t lock;
	const struct task_struct *task;
	const struct address_space *mapping;
	s64 reads;
} sf_writers[1 << SF_TABLE_BITS];

void sf_written_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(sf_writers); i++)
		spin_lock_init(&sf_writers[i].lock);
}

static atomic64_t *sf_reads_of(const struct address_space *mapping)
{
	return &sf_reads[hash_ptr(mapping, SF_TABLE_BITS)];
}

/* A READ begins, answered here or not. Direct reads into the caller's pages are harmless. */
void sf_note_read(const struct fuse_args *args)
{
	struct page **pages;

	if (!sf_flag(args, sf_layout.out_pages) || !*(u32 *)SF_AT(args, num_pages))
		return;
	pages = *(struct page ***)SF_AT(args, pages);
	/* Before the reply is read: atomic operations without a return value do not order. */
	atomic64_inc_return(sf_reads_of(READ_ONCE(page_folio(pages[0])->mapping)));
}

static struct sf_writer *sf_writer(void)
{
	return &sf_writers[hash_ptr(current, SF_TABLE_BITS)];
}

/* This task begins to write to a FUSE file. */
void sf_note_write(const struct inode *inode)
{
	struct sf_writer *writer = sf_writer();

	if (!smp_load_acquire(&sf_attached))
		return;
	spin_lock(&writer->lock);
	writer->task = current;
	writer->mapping = inode->i_mapping;
	writer->reads = atomic64_read(sf_reads_of(inode->i_mapping));
	spin_unlock(&writer->lock);
	/* Before the first page is filled. */
	smp_mb();
}

/* True unless it is known that no READ began since sf_note_write. */
static bool sf_was_read(const struct address_space *mapping)
{
	struct sf_writer *writer = sf_writer();
	bool is_known;
	s64 reads;

	spin_lock(&writer->lock);
	is_known = writer->task == current && writer->mapping == mapping;
	reads = writer->reads;
	spin_unlock(&writer->lock);
	return !is_known || reads != atomic64_read(sf_reads_of(mapping));
}

/*
 * At the end of a write. Waits for READs in progress: the daemon answers them
 * without the locks that the writer holds (the inode's).
 */
void sf_drop_written(struct inode *inode, loff_t first, loff_t last)
{
	struct address_space *mapping = inode->i_mapping;
	struct fuse_mount *fm = inode->i_sb->s_fs_info;
	bool is_ours;

	if (!smp_load_acquire(&sf_attached) || !READ_ONCE(mapping->nrpages) ||
	    !sf_was_read(mapping))
		return;
	rcu_read_lock_trace();
	is_ours = sf_find(*(struct fuse_conn **)SF_AT(fm, mount_fc));
	rcu_read_unlock_trace();
	/* Outside of the section, which would block all others while this waits. */
	if (!is_ours || !try_module_get(THIS_MODULE))
		return;
	invalidate_inode_pages2_range(mapping, first >> PAGE_SHIFT, last >> PAGE_SHIFT);
	module_put(THIS_MODULE);
}
