/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian 13's libelf.a (elfutils 0.192) refers to functions that no library of it has: each open
 * file has a tree of raw chunks. libbpf asks for no raw chunk, so the tree stays as it is
 * allocated: empty. Weak: those of a libelf.a that has them do not clash with these.
 */
void eu_search_tree_init(void *tree);
void eu_search_tree_fini(void *tree, void (*free_node)(void *node));

__attribute__((weak)) void eu_search_tree_init(void *tree)
{
	(void)tree;
}

__attribute__((weak)) void eu_search_tree_fini(void *tree, void (*free_node)(void *node))
{
	(void)tree;
	(void)free_node;
}
