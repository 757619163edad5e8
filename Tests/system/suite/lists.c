// SPDX-License-Identifier: Apache-2.0
/* POSIX access control lists, by the attributes that hold them. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

struct entry {
	uint16_t tag;
	uint16_t permissions;
	uint32_t id;
};

static struct {
	uint32_t version;
	struct entry entries[16];
} list = {.version = 2};
static size_t used;

static void add(uint16_t tag, uint16_t permissions, uint32_t id)
{
	list.entries[used++] = (struct entry){tag, permissions, id};
}

/* Owner rw-, group r--, others none, and one user and one group more. */
static void typical(uint16_t user_bits, uint16_t group_bits, uint16_t mask)
{
	used = 0;
	add(ACL_USER_OBJ, 7, ~0u);
	add(ACL_USER, user_bits, 1000);
	add(ACL_GROUP_OBJ, 4, ~0u);
	add(ACL_GROUP, group_bits, 2000);
	add(ACL_MASK, mask, ~0u);
	add(ACL_OTHER, 0, ~0u);
}

static int set(const char *path, const char *name)
{
	return setxattr(path, name, &list, 4 + used * sizeof(*list.entries), 0);
}

static void say_list(const char *path, const char *name)
{
	ssize_t size = getxattr(path, name, &list, sizeof(list));

	say("%s of %s: %s", name, path, returned(size));
	for (ssize_t i = 0; size >= 4 && i < (size - 4) / 8; i++)
		say("  tag %#x permissions %o id %d", list.entries[i].tag,
		    list.entries[i].permissions, (int)list.entries[i].id);
}

static void try_access(void)
{
	static const struct {
		uid_t uid;
		gid_t gid, more;
	} users[] = {{1000, 1000, 1},
		     {1001, 2000, 1},
		     {1001, 1001, 2000},
		     {1001, 1001, 1},
		     {1001, 0, 1}};

	for (size_t i = 0; i < sizeof(users) / sizeof(*users); i++) {
		for_user(users[i].uid, users[i].gid, users[i].more, -1) {
			say("access %d %d %d, open %d %d", access("f", R_OK), access("f", W_OK),
			    access("f", X_OK), open("f", O_RDONLY) >= 0, open("f", O_WRONLY) >= 0);
		}
	}
}

static void lists_are_obeyed(void)
{
	make("f", "text");
	MUST(chmod("f", 0640));
	say_list("f", ACCESS);
	try_access();
	typical(6, 0, 7);
	watch("f", NULL);
	DO(set("f", ACCESS));
	report();
	say_list("f", ACCESS);
	try_access();
	DO(chmod("f", 0606));
	say_list("f", ACCESS);
	try_access();
	typical(0, 6, 6);
	DO(set("f", ACCESS));
	DO(chmod("f", 0777));
	say_list("f", ACCESS);
	try_access();
	DO(removexattr("f", ACCESS));
	show("f");
	say_list("f", ACCESS);
	try_access();
	/* A list that says no more than a mode does is a mode. */
	used = 0;
	add(ACL_USER_OBJ, 6, ~0u);
	add(ACL_GROUP_OBJ, 4, ~0u);
	add(ACL_OTHER, 1, ~0u);
	DO(set("f", ACCESS));
	show("f");
	say_list("f", ACCESS);
}

static void lists_of_directories(void)
{
	mkdir("d", 0755);
	make("d/x", "");
	typical(0, 5, 7);
	MUST(chmod("d/x", 0666));
	DO(set("d", ACCESS));
	for_user(1000, 1000, -1) {
		DO(access("d/x", R_OK));
		DO(open("d", O_RDONLY));
	}
	for_user(1001, 2000, -1) {
		DO(access("d/x", R_OK));
		DO(open("d/new", O_CREAT | O_WRONLY, 0644));
	}
	typical(7, 5, 7);
	DO(set("d", ACCESS));
	for_user(1000, 1000, -1) {
		DO(open("d/new", O_CREAT | O_WRONLY, 0644));
		DO(rename("d/new", "d/newer"));
		DO(unlink("d/newer"));
	}
}

static void lists_are_inherited(void)
{
	static const mode_t masks[] = {0, 022, 077};
	char name[32];

	mkdir("d", 0755);
	DO(set("d", DEFAULT));
	typical(7, 5, 7);
	DO(set("d", DEFAULT));
	say_list("d", DEFAULT);
	show("d");
	MUST(chmod("d", 0777));
	for (size_t i = 0; i < 3; i++) {
		umask(masks[i]);
		for (int kind = 0; kind < 4; kind++) {
			snprintf(name, sizeof(name), "d/%03o-%d", masks[i], kind);
			switch (kind) {
			case 0:
				MUST(open(name, O_CREAT | O_WRONLY, 0666));
				break;
			case 1:
				MUST(mkdir(name, 0750));
				break;
			case 2:
				MUST(mkfifo(name, 0600));
				break;
			case 3:
				MUST(symlink("x", name));
				break;
			}
			show(name);
			if (kind == 3)
				continue;
			say_list(name, ACCESS);
			say_list(name, DEFAULT);
		}
	}
	for_user(1005, 1006, -1) {
		umask(077);
		DO(open("d/user", O_CREAT | O_WRONLY, 0666));
		show("d/user");
		say_list("d/user", ACCESS);
	}
	DO(rename("d/000-0", "moved"));
	say_list("moved", ACCESS);
	DO(removexattr("d", DEFAULT));
	say_list("d", DEFAULT);
	DO(open("d/after", O_CREAT | O_WRONLY, 0666));
	show("d/after");
}

static void setting_lists(void)
{
	make("f", "");
	typical(6, 4, 7);
	DO(set("f", DEFAULT));
	used = 2;
	DO(set("f", ACCESS));
	used = 0;
	DO(set("f", ACCESS));
	DO(setxattr("f", ACCESS, "rubbish", 7, 0));
	DO(setxattr("f", ACCESS, "", 0, 0));
	typical(6, 4, 7);
	list.version = 3;
	DO(set("f", ACCESS));
	list.version = 2;
	for_user(1000, 1000, -1) {
		DO(set("f", ACCESS));
		DO(removexattr("f", ACCESS));
		say_list("f", ACCESS);
	}
	MUST(chown("f", 1000, 50));
	MUST(chmod("f", 02770));
	for_user(1000, 1000, -1) {
		DO(set("f", ACCESS));
		show("f");
	}
	MUST(chmod("f", 02770));
	for_user(1000, 1000, 50, -1) {
		DO(set("f", ACCESS));
		show("f");
	}
	symlink("f", "l");
	DO(lsetxattr("l", ACCESS, &list, 4 + used * 8, 0));
	DO(lgetxattr("l", ACCESS, &list, sizeof(list)));
}

const struct rule list_rules[] = {
	{"lists_are_obeyed", lists_are_obeyed},
	{"lists_of_directories", lists_of_directories},
	{"lists_are_inherited", lists_are_inherited},
	{"setting_lists", setting_lists},
	{NULL, NULL},
};
