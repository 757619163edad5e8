// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>
#include "foreign.h"
#include "shortfuse_version.h"

#ifdef SF_FAULTS
char *sf_fault = "";
module_param_named(fault, sf_fault, charp, 0400);
#endif

static int __init sf_init(void)
{
	int error;

	sf_read_cache = KMEM_CACHE(sf_read_ctx, 0);
	if (!sf_read_cache)
		return -ENOMEM;
	sf_written_init();
	error = sf_nodes_init();
	if (error)
		goto no_nodes;
	error = sf_hook_init();
	if (error)
		goto no_hook;
	error = sf_attach_init();
	if (error)
		goto no_device;
	return 0;

no_device:
	sf_hook_exit();
no_hook:
	sf_nodes_exit();
no_nodes:
	kmem_cache_destroy(sf_read_cache);
	return error;
}

static void __exit sf_exit(void)
{
	sf_attach_exit();
	sf_hook_exit();
	sf_nodes_exit();
	kmem_cache_destroy(sf_read_cache);
}

module_init(sf_init);
module_exit(sf_exit);

MODULE_DESCRIPTION("Answers FUSE requests in the kernel by BPF programs");
MODULE_AUTHOR("The shortfuse developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(SHORTFUSE_VERSION);
