// SPDX-License-Identifier: Apache-2.0
/* Names: what they lead to, how long they may be, what fails with which errno. */
#define _GNU_SOURCE
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static void hard_links(void)
{
	struct stat one, two;

	make("one", "text");
	mkdir("d", 0755);
	watch("one", ".", "d", NULL);
	DO(link("one", "d/two"));
	report();
	MUST(stat("one", &one));
	MUST(stat("d/two", &two));
	say("same inode: %d", one.st_ino == two.st_ino);
	make("d/two", "longer text");
	content("one");
	DO(chmod("one", 0600));
	show("d/two");
	DO(unlink("one"));
	show("d/two");
	DO(link("d/two", "d/two"));
	DO(link("d", "e"));
	DO(link("missing", "e"));
	DO(symlink("d/two", "link"));
	DO(link("link", "hard-link-of-link"));
	show("hard-link-of-link");
	DO(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	show("followed");
}

static void long_names(void)
{
	char name[300];

	for (int length = 253; length <= 257; length++) {
		memset(name, 'n', sizeof(name));
		name[length] = 0;
		say("length %d", length);
		DO(mkdir(name, 0755));
		DO(rmdir(name));
		DO(mknod(name, S_IFREG | 0644, 0));
		DO(rename(name, "short"));
		DO(rename("short", name));
		DO(symlink("x", name));
		DO(access(name, F_OK));
		DO(unlink(name));
		DO(access(name, F_OK));
	}
}

static void odd_names(void)
{
	char name[4] = "?-?";
	int made = 0, found = 0;

	/* Every byte but NUL and the slash. */
	for (int byte = 1; byte < 256; byte++) {
		if (byte == '/')
			continue;
		name[0] = (char)byte;
		name[2] = (char)(256 - byte == '/' ? 1 : 256 - byte);
		made += mknod(name, S_IFREG | 0644, 0) == 0;
		found += access(name, F_OK) == 0;
	}
	say("made %d, found %d", made, found);
	entries(".");
	DO(mkdir("...", 0755));
	DO(mkdir(" ", 0755));
	DO(mkdir("\xff\xfe", 0755));
	DO(rename("\xff\xfe", "\xc3\x28"));
	DO(access("\xff\xfe", F_OK));
	DO(access("\xc3\x28", F_OK));
	DO(mkdir("UPPER", 0755));
	DO(access("upper", F_OK));
}

static void long_paths(void)
{
	static char path[PATH_MAX + 64];
	char name[201];
	int depth;

	/* Dots make a path as long as it may be, and longer. */
	for (int length = PATH_MAX - 2; length <= PATH_MAX + 1; length++) {
		memset(path, '/', sizeof(path));
		path[0] = '.';
		path[length - 1] = '.';
		path[length] = 0;
		say("length %d", length);
		DO(access(path, F_OK));
	}
	/* A tree deeper than any path can say. */
	memset(name, 'd', sizeof(name) - 1);
	name[200] = 0;
	for (depth = 0; depth < 40; depth++) {
		if (mkdir(name, 0755) || chdir(name))
			break;
	}
	say("depth %d", depth);
	make("file", "deep");
	content("file");
	DO(getcwd(path, PATH_MAX) ? 0 : -1);
	say("getcwd needs %d", getcwd(path, sizeof(path)) ? (int)strlen(path) > PATH_MAX : -1);
	DO(unlink("file"));
	for (; depth > 0; depth--) {
		MUST(chdir(".."));
		MUST(rmdir(name));
	}
	entries(".");
}

static void symlinks(void)
{
	static char target[PATH_MAX + 8], read[PATH_MAX + 8];
	char name[16], previous[16] = "end";

	DO(symlink("b", "a"));
	DO(symlink("a", "b"));
	DO(open("a", O_RDONLY));
	DO(open("a/x", O_RDONLY));
	DO(open("a", O_WRONLY | O_CREAT, 0644));
	DO(symlink("self", "self"));
	DO(access("self", F_OK));
	show("self");
	make("end", "text");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "chain%d", i);
		MUST(symlink(previous, name));
		strcpy(previous, name);
	}
	DO(access("chain39", F_OK));
	DO(access("chain40", F_OK));
	DO(access("chain41", F_OK));
	for (int length = 4090; length <= 4096; length++) {
		memset(target, 't', sizeof(target));
		target[length] = 0;
		unlink("long");
		say("target of %d", length);
		DO(symlink(target, "long"));
		NUMBER(readlink("long", read, sizeof(read)));
	}
	NUMBER(readlink("self", read, 2));
	DO(readlink("end", read, sizeof(read)));
	DO(readlink("missing", read, sizeof(read)));
	DO(symlink("", "empty"));
	DO(symlink("x", "self"));
	DO(symlink("nowhere", "dangling"));
	DO(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
	DO(open("dangling", O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
	DO(open("dangling", O_WRONLY | O_CREAT, 0644));
	show("nowhere");
	DO(open("self", O_RDONLY | O_NOFOLLOW));
	DO(lchown("dangling", 5, 6));
	show("dangling");
	show("nowhere");
	DO(fchmodat(AT_FDCWD, "dangling", 0600, AT_SYMLINK_NOFOLLOW));
	DO(unlink("dangling"));
	show("nowhere");
	mkdir("dir", 0755);
	DO(symlink("dir", "to-dir"));
	DO(rmdir("to-dir"));
	DO(rmdir("to-dir/"));
	DO(unlink("to-dir/"));
	DO(mkdir("to-dir/inside", 0755));
	show("dir/inside");
	DO(rename("to-dir", "renamed"));
	show("renamed");
}

static void errors(void)
{
	make("file", "");
	mkdir("dir", 0755);
	mkdir("dir/full", 0755);
	mkdir("empty", 0755);
	DO(mkdir("dir", 0755));
	DO(mkdir("file", 0755));
	DO(mkdir("missing/dir", 0755));
	DO(mkdir("file/dir", 0755));
	DO(mkdir("new/", 0755));
	DO(mkdir("", 0755));
	DO(mkdir(".", 0755));
	DO(mkdir("..", 0755));
	DO(rmdir("dir"));
	DO(rmdir("file"));
	DO(rmdir("missing"));
	DO(rmdir("."));
	DO(rmdir(".."));
	DO(rmdir("dir/full/.."));
	DO(unlink("dir"));
	DO(unlink("missing"));
	DO(unlink("file/"));
	DO(unlink("file/x"));
	DO(unlink(""));
	DO(open("dir", O_WRONLY));
	DO(open("dir", O_RDWR));
	DO(open("dir", O_RDONLY | O_TRUNC));
	DO(open("dir", O_RDONLY | O_CREAT, 0644));
	DO(open("file", O_RDONLY | O_DIRECTORY));
	DO(open("file/", O_RDONLY));
	DO(open("file/x", O_RDONLY | O_CREAT, 0644));
	DO(open("missing/x", O_RDONLY | O_CREAT, 0644));
	DO(open("missing/", O_RDONLY | O_CREAT, 0644));
	DO(open("file", O_RDONLY | O_CREAT | O_EXCL, 0644));
	DO(open("dir", O_RDONLY | O_CREAT | O_EXCL, 0644));
	DO(open("", O_RDONLY));
	DO(link("file", "dir"));
	DO(link("file", "missing/x"));
	DO(link("file", "file/x"));
	DO(symlink("x", "file"));
	DO(mknod("file", S_IFIFO | 0644, 0));
	DO(mknod("dir/full", S_IFREG | 0644, 0));
	DO(mknod("node", S_IFDIR | 0644, 0));
	DO(mknod("node", 0xf000 | 0644, 0));
	DO(rename("missing", "x"));
	DO(rename("file", "missing/x"));
	DO(rename("file", "dir"));
	DO(rename("dir", "file"));
	DO(rename("empty", "dir"));
	DO(rename("dir", "dir/full/x"));
	DO(rename("dir", "dir"));
	DO(rename("dir/full", "dir"));
	DO(rename("dir/.", "x"));
	DO(rename("file/", "x"));
	DO(rename("dir", "empty"));
	DO(rename("", "x"));
	DO(truncate("empty", 0));
	DO(truncate("missing", 0));
	DO(truncate("file", -1));
	DO(chmod("file/x", 0644));
	DO(close(-1));
	entries(".");
}

static void rename_rules(void)
{
	make("a", "a");
	make("b", "b");
	mkdir("d", 0755);
	mkdir("e", 0755);
	mkdir("d/sub", 0755);
	watch("a", "b", ".", NULL);
	DO(rename("a", "b"));
	report();
	content("b");
	/* Two names of one file: nothing happens. */
	DO(link("b", "c"));
	watch("b", "c", ".", NULL);
	DO(rename("b", "c"));
	report();
	watch("c", ".", "d", NULL);
	DO(rename("c", "d/c"));
	report();
	/* A directory that moves: ".." and both parents' links. */
	watch("d", "e", "d/sub", NULL);
	DO(rename("d/sub", "e/sub"));
	report();
	show("e");
	show("d");
	DO(access("e/sub/../sub", F_OK));
	mkdir("full", 0755);
	mkdir("full/x", 0755);
	DO(rename("e", "full"));
	mkdir("empty", 0755);
	watch("e", ".", NULL);
	DO(rename("e", "empty"));
	report();
	show("empty");
	entries("empty");
}

static void rename_flags(void)
{
	make("a", "a");
	make("b", "bb");
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	DO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	DO(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	show("a");
	show("c");
	watch("c", "b", ".", NULL);
	DO(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
	report();
	content("c");
	content("b");
	watch("d", "d/sub", ".", NULL);
	DO(renameat2(AT_FDCWD, "d/sub", AT_FDCWD, "b", RENAME_EXCHANGE));
	report();
	show("d/sub");
	show("b");
	DO(renameat2(AT_FDCWD, "d", AT_FDCWD, "missing", RENAME_EXCHANGE));
	DO(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/sub", RENAME_EXCHANGE));
	DO(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", RENAME_EXCHANGE | RENAME_NOREPLACE));
	DO(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", 64));
	DO(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", RENAME_WHITEOUT | RENAME_EXCHANGE));
	DO(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", RENAME_WHITEOUT));
	show("c");
	show("e");
	MUST(chmod(".", 0777));
	for_user(1000, 1001, -1) {
		make("mine", "mine");
		DO(renameat2(AT_FDCWD, "mine", AT_FDCWD, "moved", RENAME_WHITEOUT));
		show("mine");
		show("moved");
	}
}

static void node_types(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	char byte = 0;

	DO(mknod("fifo", S_IFIFO | 0640, 0));
	DO(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	DO(mknod("block", S_IFBLK | 0600, makedev(259, 70000)));
	DO(mknod("large", S_IFCHR | 0600, makedev(4095, 1048575)));
	DO(mknod("node", S_IFSOCK | 0600, 0));
	DO(mknod("regular", 0600, 0));
	DO(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	DO(bind(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&address,
		sizeof(address)));
	for (size_t i = 0; i < 7; i++)
		show((const char *[]){"fifo", "null", "block", "large", "node", "regular",
				      "socket"}[i]);
	DO(listen(fd, 1));
	DO(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&address,
		   sizeof(address)));
	DO(open("socket", O_RDONLY));
	NUMBER(write(open("null", O_WRONLY), "x", 1));
	DO(open("large", O_RDONLY));
	DO(open("fifo", O_WRONLY | O_NONBLOCK));
	int reader = MUST(open("fifo", O_RDONLY | O_NONBLOCK));

	NUMBER(write(open("fifo", O_WRONLY), "x", 1));
	NUMBER(read(reader, &byte, 1));
	DO(rename("fifo", "moved"));
	DO(link("null", "zero"));
	show("zero");
	for_user(1000, 1000, -1) {
		DO(mknod("device", S_IFCHR | 0666, makedev(1, 3)));
		DO(open("block", O_RDONLY));
	}
}

const struct rule name_rules[] = {
	{"hard_links", hard_links},     {"long_names", long_names},
	{"odd_names", odd_names},       {"long_paths", long_paths},
	{"symlinks", symlinks},         {"errors", errors},
	{"rename_rules", rename_rules}, {"rename_flags", rename_flags},
	{"node_types", node_types},     {NULL, NULL},
};
