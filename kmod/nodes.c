// SPDX-License-Identifier: GPL-2.0
/*
 * Lookups that were granted here and that the daemon does not know about. The kernel
 * counts them in its inode and eventually forgets them all at once. Then ours are
 * subtracted; otherwise the daemon would free a node too early. A node is in the table
 * as long as the daemon has certainly counted a lookup of it.
 */
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/slab.h>
#include "compat.h"
#include "foreign.h"

struct sf_node {
	struct hlist_bl_node entry;
	u64 nodeid;
	u64 granted;
};

static struct kmem_cache *sf_node_cache;

int sf_nodes_init(void)
{
	sf_node_cache = KMEM_CACHE(sf_node, 0);
	return sf_node_cache ? 0 : -ENOMEM;
}

void sf_nodes_exit(void)
{
	kmem_cache_destroy(sf_node_cache);
}

static struct hlist_bl_head *sf_bucket(const struct sf_foreign *foreign, u64 nodeid)
{
	return &foreign->nodes[hash_64(nodeid, SF_NODE_BITS)];
}

/* Under the bucket's lock. */
static struct sf_node *sf_node_find(struct hlist_bl_head *bucket, u64 nodeid)
{
	struct hlist_bl_node *position;
	struct sf_node *node;

	hlist_bl_for_each_entry(node, position, bucket, entry) {
		if (node->nodeid == nodeid)
			return node;
	}
	return NULL;
}

void sf_node_seen(struct sf_foreign *foreign, u64 nodeid)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_node *fresh = NULL, *known;

	hlist_bl_lock(bucket);
	known = sf_node_find(bucket, nodeid);
	hlist_bl_unlock(bucket);
	if (!known)
		fresh = kmem_cache_zalloc(sf_node_cache, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	/* Then it is not known: nothing is granted, and the daemon is asked. */
	if (!fresh)
		return;
	fresh->nodeid = nodeid;
	hlist_bl_lock(bucket);
	known = sf_node_find(bucket, nodeid);
	if (!known)
		hlist_bl_add_head(&fresh->entry, bucket);
	hlist_bl_unlock(bucket);
	if (known)
		kmem_cache_free(sf_node_cache, fresh);
}

bool sf_node_grant(struct sf_foreign *foreign, u64 nodeid, u64 since)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	bool is_granted = false;
	struct sf_node *node;

	hlist_bl_lock(bucket);
	node = sf_node_find(bucket, nodeid);
	/* Under the lock with which nodes are removed: a removed node, whose number may belong to
	 * another file by now, has changed. */
	if (node && sf_unchanged(foreign, sf_stripe_of(SF_NODE, nodeid), since)) {
		node->granted++;
		is_granted = true;
	}
	hlist_bl_unlock(bucket);
	return is_granted;
}

u64 sf_node_forget(struct sf_foreign *foreign, u64 nodeid, u64 count)
{
	const struct sf_change change = {
		.stripes = {sf_stripe_of(SF_NODE, nodeid), sf_stripe_of(SF_XATTR, nodeid),
			    sf_stripe_of(SF_PARENT, nodeid)},
		.count = 3,
	};
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_node *node;
	u64 ours;

	if (sf_fault_is("attach-forget"))
		return count;
	hlist_bl_lock(bucket);
	node = sf_node_find(bucket, nodeid);
	ours = node ? min(node->granted, count) : 0;
	count -= ours;
	if (node)
		node->granted -= ours;
	/* The daemon may free the node and reuse its number: from here on nothing is known about
	 * it. */
	if (count) {
		sf_touch(foreign, &change);
		if (node)
			hlist_bl_del(&node->entry);
	} else {
		node = NULL;
	}
	hlist_bl_unlock(bucket);
	if (node)
		kmem_cache_free(sf_node_cache, node);
	return count;
}

/* The granted lookups of nodeid, which are reset to 0. */
static u64 sf_node_take(struct sf_foreign *foreign, u64 nodeid, u64 most)
{
	struct hlist_bl_head *bucket = sf_bucket(foreign, nodeid);
	struct sf_node *node;
	u64 taken = 0;

	hlist_bl_lock(bucket);
	node = sf_node_find(bucket, nodeid);
	if (node) {
		taken = min(node->granted, most);
		node->granted -= taken;
	}
	hlist_bl_unlock(bucket);
	return taken;
}

/* fs/fuse's struct fuse_inode begins with the inode. */
static void sf_settle_inode(struct sf_foreign *foreign, struct inode *inode)
{
	spinlock_t *lock = SF_AT(inode, inode_lock);
	u64 *nlookup = SF_AT(inode, inode_nlookup);

	spin_lock(&inode->i_lock);
	/* An inode that is being evicted is forgotten soon, and ours are subtracted then. */
	if (!(sf_inode_state(inode) & (I_NEW | I_FREEING | I_WILL_FREE | I_CLEAR))) {
		spin_lock(lock);
		/* The daemon's own count stays. */
		if (*nlookup > 1)
			*nlookup -= sf_node_take(foreign, *(u64 *)SF_AT(inode, inode_nodeid),
						 *nlookup - 1);
		spin_unlock(lock);
	}
	spin_unlock(&inode->i_lock);
}

struct sf_settling {
	struct sf_foreign *foreign;
	bool is_mounted;
};

static void sf_settle_super(struct super_block *sb, void *argument)
{
	struct sf_settling *settling = argument;
	struct sf_foreign *foreign = settling->foreign;
	struct inode *inode;

	if (!sb->s_fs_info || *(struct fuse_conn **)SF_AT(sb->s_fs_info, mount_fc) != foreign->conn)
		return;
	settling->is_mounted = true;
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list)
		sf_settle_inode(foreign, inode);
	spin_unlock(&sb->s_inode_list_lock);
}

u64 sf_nodes_granted(const struct sf_foreign *foreign)
{
	struct hlist_bl_node *position;
	struct sf_node *node;
	u64 left = 0;

	for (u32 i = 0; i < 1U << SF_NODE_BITS; i++) {
		hlist_bl_lock(&foreign->nodes[i]);
		hlist_bl_for_each_entry(node, position, &foreign->nodes[i], entry)
			left += node->granted;
		hlist_bl_unlock(&foreign->nodes[i]);
	}
	return left;
}

bool sf_nodes_settle(struct sf_foreign *foreign)
{
	struct sf_settling settling = {.foreign = foreign};
	struct file_system_type *type;

	if (!sf_nodes_granted(foreign))
		return true;
	type = get_fs_type("fuse");
	if (!type)
		return false;
	iterate_supers_type(type, sf_settle_super, &settling);
	module_put(type->owner);
	/* Without its mount there are no more single FORGETs. */
	return !settling.is_mounted || !sf_nodes_granted(foreign);
}

void sf_nodes_free(struct sf_foreign *foreign)
{
	struct hlist_bl_node *position, *next;
	struct sf_node *node;

	for (u32 i = 0; i < 1U << SF_NODE_BITS; i++) {
		hlist_bl_for_each_entry_safe(node, position, next, &foreign->nodes[i], entry)
			kmem_cache_free(sf_node_cache, node);
	}
}
