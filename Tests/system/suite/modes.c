// SPDX-License-Identifier: Apache-2.0
/* Modes: what keeps and what clears which bit. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Set-id bits as they are after an operation on a file with mode `mode`, by whoever runs it. */
static void after(const char *what, mode_t mode)
{
	struct stat info;

	MUST(stat("f", &info));
	say("%04o after %s: %04o", mode, what, info.st_mode & 07777);
}

static void clearing_by(mode_t mode, uid_t uid)
{
	/* Who is refused a chown(2) that changes nothing, FUSE cannot tell. */
	int is_told = uid != 1001 || mode != 02766;

	static char text[] = "text";
	int fd;

	for (int step = 0; step < 8; step++) {
		unlink("f");
		make("f", "some text");
		MUST(chown("f", 1000, 1000));
		MUST(chmod("f", mode));
		for_user(uid, uid, -1) {
			fd = open("f", O_RDWR);
			switch (step) {
			case 0:
				DO(write(fd, text, 4));
				break;
			case 1:
				DO(ftruncate(fd, 3));
				break;
			case 2:
				DO(truncate("f", 20));
				break;
			case 3:
				DO(open("f", O_WRONLY | O_TRUNC));
				break;
			case 4:
				DO(fallocate(fd, 0, 0, 100));
				break;
			case 5:
				DO(chown("f", 1000, 1000));
				break;
			case 6:
				DO(is_told ? chown("f", -1, -1) : 0);
				break;
			case 7:
				DO(chmod("f", mode));
				break;
			}
			after("that", mode);
		}
	}
}

static void set_id_bits(void)
{
	static const mode_t modes[] = {06777, 06766, 02766, 04777};

	MUST(chmod(".", 0777));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		clearing_by(modes[i], 1000);
		clearing_by(modes[i], 1001);
		clearing_by(modes[i], 0);
	}
}

static void modes(void)
{
	make("f", "");
	mkdir("d", 0755);
	for (mode_t mode = 0; mode <= 07777; mode += 0555) {
		MUST(chmod("f", mode));
		MUST(chmod("d", mode));
		show("f");
		show("d");
	}
	MUST(chown("f", 1000, 50));
	MUST(chown("d", 1000, 50));
	for_user(1000, 1000, -1) {
		DO(chmod("f", 07777));
		DO(chmod("d", 07777));
		show("f");
		show("d");
	}
	for_user(1000, 1000, 50, -1) {
		DO(chmod("f", 07777));
		DO(chmod("d", 07777));
		show("f");
		show("d");
	}
	for_user(1001, 50, -1) {
		DO(chmod("f", 0777));
		DO(chmod("d", 0777));
	}
}

static void masks(void)
{
	static const mode_t masks[] = {0, 022, 027, 077, 0777};
	char name[32];

	for (size_t i = 0; i < 5; i++) {
		umask(masks[i]);
		for (int kind = 0; kind < 5; kind++) {
			snprintf(name, sizeof(name), "%03o-%d", masks[i], kind);
			switch (kind) {
			case 0:
				MUST(open(name, O_CREAT | O_WRONLY, 06777));
				break;
			case 1:
				MUST(mkdir(name, 07777));
				break;
			case 2:
				MUST(mkfifo(name, 0666));
				break;
			case 3:
				MUST(mknod(name, S_IFREG | 0666, 0));
				break;
			case 4:
				MUST(symlink("x", name));
				break;
			}
			show(name);
		}
	}
}

const struct rule mode_rules[] = {
	{"set_id_bits", set_id_bits},
	{"modes", modes},
	{"masks", masks},
	{NULL, NULL},
};
