// SPDX-License-Identifier: Apache-2.0
/* Who may do what: the kernel judges by what the mirror says of owner, group and mode. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void permission_bits(void)
{
	char name[16];

	MUST(chmod(".", 0777));
	for (mode_t mode = 0; mode < 8; mode++) {
		snprintf(name, sizeof(name), "f%o", mode);
		make(name, "#!/bin/sh\n");
		MUST(chown(name, 1000, 1000));
		/* Owner, group and others in turn have `mode`, and the two others its opposite. */
		for (int who = 0; who < 3; who++) {
			mode_t opposite = ~mode & 7;
			mode_t bits = (who == 0 ? mode : opposite) << 6 |
				      (who == 1 ? mode : opposite) << 3 |
				      (who == 2 ? mode : opposite);

			MUST(chmod(name, bits));
			for_user(who == 0 ? 1000 : 1001, who == 2 ? 1002 : 1000, -1) {
				say("mode %03o: %d %d %d, open %d %d", bits, access(name, R_OK),
				    access(name, W_OK), access(name, X_OK),
				    open(name, O_RDONLY) >= 0, open(name, O_WRONLY) >= 0);
			}
		}
	}
	MUST(chmod("f0", 0));
	say("root: %d %d %d", access("f0", R_OK), access("f0", W_OK), access("f0", X_OK));
}

static void directories(void)
{
	for (mode_t mode = 0; mode < 8; mode++) {
		MUST(mkdir("d", 0777));
		make("d/f", "text");
		MUST(chmod("d/f", 0666));
		mkdir("d/sub", 0777);
		MUST(chmod("d/sub", 0777));
		MUST(chmod("d", 0770 | mode));
		for_user(1000, 1000, -1) {
			DO(open("d", O_RDONLY));
			DO(access("d/f", R_OK));
			DO(open("d/f", O_RDWR));
			DO(mkdir("d/new", 0755));
			DO(rename("d/f", "d/g"));
			DO(rename("d/g", "d/sub/g"));
			DO(rename("d/sub/g", "d/f"));
			DO(unlink("d/f"));
			DO(link("d/sub", "d/hard"));
			DO(chdir("d"));
		}
		unlink("d/f");
		unlink("d/sub/g");
		unlink("d/sub/f");
		unlink("d/g");
		rmdir("d/new");
		MUST(rmdir("d/sub"));
		MUST(rmdir("d"));
	}
}

static void sticky_directory(void)
{
	mkdir("t", 0);
	MUST(chmod("t", 01777));
	make("t/root", "");
	make("t/a", "");
	make("t/b", "");
	MUST(chown("t/a", 1000, 1000));
	MUST(chown("t/b", 1000, 1000));
	mkdir("t/dir", 0777);
	MUST(chown("t/dir", 1000, 1000));
	for_user(1001, 1000, -1) {
		DO(unlink("t/root"));
		DO(unlink("t/a"));
		DO(rename("t/a", "t/c"));
		DO(rmdir("t/dir"));
		make("t/own", "");
		DO(rename("t/own", "t/a"));
		DO(renameat2(AT_FDCWD, "t/own", AT_FDCWD, "t/a", RENAME_EXCHANGE));
		DO(rename("t/own", "t/mine"));
		DO(unlink("t/mine"));
	}
	for_user(1000, 1000, -1) {
		DO(unlink("t/a"));
		DO(rename("t/b", "t/c"));
		DO(rmdir("t/dir"));
		DO(unlink("t/root"));
	}
	MUST(chown("t", 1001, 1001));
	for_user(1001, 1001, -1) {
		DO(unlink("t/c"));
		DO(unlink("t/root"));
	}
	entries("t");
}

static void make_all_kinds(const char *prefix)
{
	char name[64];

	for (int kind = 0; kind < 5; kind++) {
		snprintf(name, sizeof(name), "%s-%d", prefix, kind);
		switch (kind) {
		case 0:
			DO(open(name, O_CREAT | O_WRONLY, 02775));
			break;
		case 1:
			DO(mkdir(name, 0775));
			break;
		case 2:
			DO(mkfifo(name, 02664));
			break;
		case 3:
			DO(symlink("x", name));
			break;
		case 4:
			DO(mkdir(name, 02775));
			break;
		}
		show(name);
	}
}

static void set_group_directory(void)
{
	umask(0);
	mkdir("d", 0);
	MUST(chown("d", 1, 1234));
	MUST(chmod("d", 02777));
	make_all_kinds("d/root");
	for_user(1000, 1000, -1) {
		make_all_kinds("d/stranger");
	}
	for_user(1000, 1000, 1234, -1) {
		make_all_kinds("d/member");
	}
	/* Moving takes no group along. */
	make("f", "");
	DO(rename("f", "d/moved"));
	show("d/moved");
}

static void owners_of_what_is_made(void)
{
	umask(0);
	mkdir("d", 0);
	MUST(chmod("d", 0777));
	for_user(1000, 1001, 1002, -1) {
		make_all_kinds("d/user");
		DO(link("d/user-0", "d/hard"));
	}
	for_user(0, 5, -1) {
		make_all_kinds("d/group");
	}
}

static void supplementary_groups(void)
{
	make("f", "text");
	MUST(chown("f", 5, 77));
	MUST(chmod("f", 0640));
	mkdir("d", 0);
	MUST(chown("d", 5, 77));
	MUST(chmod("d", 0770));
	make("mine", "");
	MUST(chown("mine", 1000, 1000));
	for_user(1000, 1000, 76, 77, -1) {
		content("f");
		DO(open("f", O_WRONLY));
		DO(mkdir("d/new", 0755));
		show("d/new");
		DO(chown("mine", -1, 77));
		show("mine");
		DO(chown("mine", -1, 78));
		DO(chown("mine", 1001, -1));
		DO(chown("f", -1, 77));
	}
	for_user(1000, 1000, 76, -1) {
		content("f");
		DO(open("d/new", O_RDONLY));
		DO(chown("mine", -1, 1000));
		DO(chown("mine", -1, 77));
	}
}

/* Runs `path` with --who: it prints its ids. */
static void execute(const char *path, const char *argument)
{
	fflush(stdout);
	pid_t child = MUST(fork());
	int status;

	if (child == 0) {
		execl(path, path, argument, NULL);
		DO(-1);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	say("%s: status %#x", path, status);
}

static void copy_of_this_program(const char *path)
{
	static char buffer[1 << 16];
	int in = MUST(open("/proc/self/exe", O_RDONLY)), out = MUST(creat(path, 0755));

	for (ssize_t count; (count = MUST(read(in, buffer, sizeof(buffer)))) > 0;)
		MUST(write(out, buffer, (size_t)count));
	close(in);
	close(out);
}

static void set_id_programs(void)
{
	static const mode_t modes[] = {0755, 04755, 02755, 06755, 0700, 0644, 02744};

	copy_of_this_program("program");
	make("script", "#!/bin/sh\necho script $1\n");
	MUST(chmod("script", 0755));
	MUST(chown("program", 1001, 1002));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		MUST(chmod("program", modes[i]));
		say("mode %04o", modes[i]);
		for_user(1000, 1000, -1) {
			execute("./program", "--who");
		}
	}
	execute("./script", "one");
	MUST(chmod("script", 0644));
	execute("./script", "one");
	DO(open("/proc/self/exe", O_WRONLY));
	/* A program that runs is not to be written. */
	int fd = MUST(open("program", O_WRONLY));

	MUST(chmod("program", 0755));
	execute("./program", "--who");
	close(fd);
	execute("./program", "--who");
}

const struct rule access_rules[] = {
	{"permission_bits", permission_bits},
	{"directories", directories},
	{"sticky_directory", sticky_directory},
	{"set_group_directory", set_group_directory},
	{"owners_of_what_is_made", owners_of_what_is_made},
	{"supplementary_groups", supplementary_groups},
	{"set_id_programs", set_id_programs},
	{NULL, NULL},
};
