// SPDX-License-Identifier: Apache-2.0
/* Extended attributes. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char value[1 << 17];

/* Says the names in alphabetical order. */
static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static void names(const char *path)
{
	static char list[1 << 16];
	char *sorted[256];
	size_t count = 0;
	ssize_t size = llistxattr(path, list, sizeof(list));

	say("names of %s: %s", path, outcome(size));
	for (ssize_t at = 0; at < size && count < 256; at += (ssize_t)strlen(list + at) + 1)
		sorted[count++] = list + at;
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count; i++)
		say("  %s", sorted[i]);
}

static void set_and_get(void)
{
	int fd;

	make("f", "");
	fd = MUST(open("f", O_RDONLY));
	names("f");
	DO(setxattr("f", "user.a", "one", 3, XATTR_REPLACE));
	DO(setxattr("f", "user.a", "one", 3, XATTR_CREATE));
	DO(setxattr("f", "user.a", "two", 3, XATTR_CREATE));
	DO(setxattr("f", "user.a", "three", 5, XATTR_REPLACE));
	DO(setxattr("f", "user.a", "three", 5, XATTR_CREATE | XATTR_REPLACE));
	DO(setxattr("f", "user.a", "three", 5, 4));
	NUMBER(getxattr("f", "user.a", value, 0));
	NUMBER(getxattr("f", "user.a", value, 4));
	NUMBER(getxattr("f", "user.a", value, 5));
	NUMBER(getxattr("f", "user.a", value, sizeof(value)));
	say("%.5s", value);
	NUMBER(getxattr("f", "user.b", value, 5));
	DO(fsetxattr(fd, "user.b", "\0\xff\n", 3, 0));
	NUMBER(fgetxattr(fd, "user.b", value, 5));
	say("%02x %02x %02x", value[0] & 255, value[1] & 255, value[2] & 255);
	DO(setxattr("f", "user.empty", "", 0, 0));
	NUMBER(getxattr("f", "user.empty", value, 5));
	NUMBER(getxattr("f", "user.empty", value, 0));
	names("f");
	NUMBER(listxattr("f", value, 1));
	NUMBER(listxattr("f", value, 0));
	DO(removexattr("f", "user.a"));
	DO(removexattr("f", "user.a"));
	DO(fremovexattr(fd, "user.b"));
	names("f");
	link("f", "hard");
	DO(setxattr("hard", "user.h", "h", 1, 0));
	names("f");
	unlink("f");
	unlink("hard");
	DO(fsetxattr(fd, "user.late", "x", 1, 0));
	NUMBER(fgetxattr(fd, "user.late", value, 5));
	DO(getxattr("f", "user.a", value, 5));
}

static void name_spaces(void)
{
	static const char *const spaces[] = {"user.x",  "trusted.x",    "security.x", "system.x",
					     "other.x", "user.",        "user",       "",
					     ".",       "user.\xff\xfe"};

	make("f", "");
	mkdir("d", 0755);
	symlink("f", "l");
	mkfifo("p", 0644);
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		for (int kind = 0; kind < 4; kind++) {
			static const char *const paths[] = {"f", "d", "l", "p"};
			const char *path = paths[kind];

			say("'%s' of %s", spaces[i], path);
			DO(lsetxattr(path, spaces[i], "x", 1, 0));
			NUMBER(lgetxattr(path, spaces[i], value, 10));
			DO(lremovexattr(path, spaces[i]));
			DO(lsetxattr(path, spaces[i], "x", 1, 0));
		}
	}
	names("f");
	names("d");
	names("l");
	names("p");
	MUST(chmod("f", 0666));
	for_user(1000, 1000, -1) {
		names("f");
		DO(setxattr("f", "user.y", "x", 1, 0));
		DO(setxattr("f", "trusted.y", "x", 1, 0));
		DO(getxattr("f", "trusted.x", value, 10));
		DO(setxattr("f", "security.y", "x", 1, 0));
		NUMBER(getxattr("f", "security.x", value, 10));
		DO(setxattr("d", "user.y", "x", 1, 0));
		NUMBER(getxattr("d", "user.x", value, 10));
	}
	MUST(chmod("f", 0600));
	MUST(chmod("d", 01777));
	for_user(1000, 1000, -1) {
		names("f");
		DO(setxattr("f", "user.y", "x", 1, 0));
		DO(getxattr("f", "user.x", value, 10));
		/* Sticky: the owner's business. */
		DO(setxattr("d", "user.y", "x", 1, 0));
	}
}

static void sizes(void)
{
	static const size_t lengths[] = {100, 1000, 2000, 3000, 4000, 5000, 65536, 65537};
	char name[300] = "user.";

	make("f", "");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		memset(value, 'v', sizeof(value));
		say("%zu bytes", lengths[i]);
		DO(setxattr("f", "user.large", value, lengths[i], 0));
		NUMBER(getxattr("f", "user.large", value, sizeof(value)));
	}
	removexattr("f", "user.large");
	for (size_t length = 254; length <= 257; length++) {
		memset(name + 5, 'n', sizeof(name) - 6);
		name[length] = 0;
		say("a name of %zu", length);
		DO(setxattr("f", name, "x", 1, 0));
		NUMBER(getxattr("f", name, value, 10));
		DO(removexattr("f", name));
	}
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.number%d", i);
		if (setxattr("f", name, name, strlen(name), 0)) {
			say("number %d: %s", i, outcome(-1));
			break;
		}
	}
	names("f");
	NUMBER(listxattr("f", value, sizeof(value)));
}

/* security.capability goes when the file is written. */
static void file_capabilities(void)
{
	/* struct vfs_cap_data: revision 2, effective, CAP_NET_RAW. */
	static const unsigned char data[20] = {1, 0, 0, 2, 0, 0x20};
	int fd;

	for (int step = 0; step < 4; step++) {
		make("f", "text");
		fd = MUST(open("f", O_WRONLY));
		MUST(setxattr("f", "security.capability", data, sizeof(data), 0));
		NUMBER(getxattr("f", "security.capability", value, 100));
		switch (step) {
		case 0:
			DO(write(fd, "x", 1));
			break;
		case 1:
			DO(chown("f", 1000, 1000));
			break;
		case 2:
			DO(ftruncate(fd, 1));
			break;
		case 3:
			DO(chmod("f", 0755));
			break;
		}
		NUMBER(getxattr("f", "security.capability", value, 100));
		close(fd);
		unlink("f");
	}
}

const struct rule xattr_rules[] = {
	{"set_and_get", set_and_get},
	{"name_spaces", name_spaces},
	{"sizes", sizes},
	{"file_capabilities", file_capabilities},
	{NULL, NULL},
};
