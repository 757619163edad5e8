// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include "shortfuse.h"

static int __init sf_init(void)
{
	int error = sf_hook_init();

	if (error)
		return error;
	error = sf_attach_init();
	if (error)
		sf_hook_exit();
	return error;
}

static void __exit sf_exit(void)
{
	sf_attach_exit();
	sf_hook_exit();
}

module_init(sf_init);
module_exit(sf_exit);

MODULE_DESCRIPTION("Answers FUSE requests in the kernel by BPF programs");
MODULE_AUTHOR("The shortfuse developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
