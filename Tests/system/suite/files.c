// SPDX-License-Identifier: Apache-2.0
/* Open files: how they are opened, what outlives their names, locks and events. */
#define _GNU_SOURCE
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static void unlinked_while_open(void)
{
	char path[64], buffer[8];
	struct timespec times[2] = {{1, 2}, {3, 4}};
	int fd, reader;

	make("f", "text");
	MUST(setxattr("f", "user.x", "y", 1, 0));
	fd = MUST(open("f", O_RDWR));
	reader = MUST(open("f", O_RDONLY));
	DO(unlink("f"));
	show("f");
	show_fd("f", fd);
	content_fd("f", reader);
	NUMBER(pwrite(fd, "TE", 2, 0));
	content_fd("f", reader);
	DO(ftruncate(fd, 10));
	show_fd("f", reader);
	DO(fchmod(fd, 0600));
	DO(fchown(fd, 3, 4));
	DO(futimens(fd, times));
	show_fd("f", reader);
	NUMBER(fgetxattr(reader, "user.x", buffer, sizeof(buffer)));
	DO(fsync(fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR);

	NUMBER(write(again, "again", 5));
	content_fd("f", reader);
	DO(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	/* The name is another file now. */
	make("f", "other");
	show("f");
	content_fd("f", reader);
	close(fd);
	close(again);
	content_fd("f", reader);
	show_fd("f", reader);
}

static void replaced_while_open(void)
{
	int fd;

	make("old", "old");
	make("new", "new");
	fd = MUST(open("old", O_RDWR));
	DO(rename("new", "old"));
	show_fd("fd", fd);
	content_fd("fd", fd);
	content("old");
	NUMBER(write(fd, "more", 4));
	content_fd("fd", fd);
	content("old");
	mkdir("d", 0755);
	mkdir("e", 0755);
	int directory = MUST(open("d", O_RDONLY));

	DO(rename("e", "d"));
	show_fd("directory", directory);
	DO(openat(directory, "x", O_CREAT | O_WRONLY, 0644));
}

static void open_flags(void)
{
	char buffer[16];
	int fd;

	DO(fd = open("f", O_CREAT | O_RDONLY, 0));
	show("f");
	DO(write(fd, "x", 1));
	DO(fd = open("g", O_CREAT | O_RDWR | O_EXCL, 0400));
	NUMBER(write(fd, "text", 4));
	DO(open("g", O_CREAT | O_RDWR | O_EXCL, 0400));
	DO(fd = open("g", O_WRONLY));
	DO(read(fd, buffer, 4));
	DO(fd = open("g", O_RDONLY | O_TRUNC));
	show("g");
	DO(fd = open("g", O_RDWR | O_SYNC));
	NUMBER(write(fd, "sync", 4));
	DO(fd = open("g", O_RDWR | O_DSYNC | O_APPEND));
	NUMBER(write(fd, "end", 3));
	content("g");
	DO(open("g", O_RDONLY | O_NOATIME));
	DO(fd = open("g", O_PATH));
	DO(read(fd, buffer, 4));
	DO(fchmod(fd, 0600));
	show_fd("path", fd);
	DO(fd = open(".", O_RDONLY));
	DO(read(fd, buffer, 4));
	DO(pread(fd, buffer, 4, 0));
	DO(write(fd, buffer, 4));
	DO(ftruncate(fd, 0));
	DO(open("g", O_RDWR | O_DIRECTORY));
	DO(open("g", O_RDWR | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC));
	NUMBER(fcntl(open("g", O_WRONLY | O_APPEND), F_GETFL) & (O_APPEND | O_ACCMODE));
	MUST(chmod("g", 0444));
	for_user(1000, 1000, -1) {
		DO(open("g", O_RDONLY | O_NOATIME));
		DO(open("g", O_RDONLY | O_TRUNC));
		DO(open("new", O_CREAT | O_WRONLY, 0644));
	}
	MUST(chmod(".", 0777));
	for_user(1000, 1000, -1) {
		/* The mode is for later: this descriptor writes. */
		DO(fd = open("new", O_CREAT | O_WRONLY, 0));
		NUMBER(write(fd, "x", 1));
		DO(open("new", O_RDONLY));
		show("new");
	}
}

static void direct_access(void)
{
	static char block[8192] __attribute__((aligned(4096)));
	int fd, plain;

	DO(fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644));
	if (fd < 0)
		return;
	memset(block, 'd', sizeof(block));
	NUMBER(write(fd, block, sizeof(block)));
	plain = MUST(open("f", O_RDWR));
	content_fd("f", plain);
	NUMBER(pwrite(plain, "plain", 5, 0));
	NUMBER(pread(fd, block, 4096, 0));
	say("%.8s", block);
	NUMBER(pread(fd, block, 8192, 4096));
	NUMBER(pread(fd, block, 4096, 8192));
	show("f");
}

/* Each file's size limit, of the process. */
static void size_limit(void)
{
	struct rlimit limit = {1000, RLIM_INFINITY};
	int fd;

	make("f", "");
	fd = MUST(open("f", O_RDWR));
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	signal(SIGXFSZ, SIG_IGN);
	NUMBER(pwrite(fd, "text", 4, 998));
	NUMBER(pwrite(fd, "text", 4, 1000));
	DO(ftruncate(fd, 1001));
	DO(ftruncate(fd, 1000));
	DO(fallocate(fd, 0, 0, 1001));
	show("f");
	NUMBER(pwrite(fd, "x", 1, LLONG_MAX));
	DO(ftruncate(fd, LLONG_MAX));
}

static void say_lock(const char *what, int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	say("%s: get %s: %s", what, type == F_RDLCK ? "shared" : "exclusive",
	    outcome(fcntl(fd, F_GETLK, &lock)));
	say("  type %d start %lld length %lld, parent's: %d", lock.l_type, (long long)lock.l_start,
	    (long long)lock.l_len, lock.l_type != F_UNLCK && lock.l_pid == getppid());
}

static int lock(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return fcntl(fd, command, &lock);
}

static void locks(void)
{
	int fd, other;

	make("f", "text");
	MUST(chmod("f", 0666));
	fd = MUST(open("f", O_RDWR));
	DO(lock(fd, F_SETLK, F_WRLCK, 10, 5));
	DO(lock(fd, F_SETLK, F_RDLCK, 20, 0));
	for_user(1000, 1000, -1) {
		other = MUST(open("f", O_RDWR));
		say_lock("other", other, F_WRLCK);
		DO(lock(other, F_SETLK, F_WRLCK, 12, 1));
		DO(lock(other, F_SETLK, F_RDLCK, 12, 1));
		DO(lock(other, F_SETLK, F_WRLCK, 0, 10));
		DO(lock(other, F_SETLK, F_RDLCK, 100, 1));
		DO(lock(other, F_SETLK, F_WRLCK, 100, 1));
		DO(lock(MUST(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 1));
	}
	/* Closing any descriptor of the file lets go of all. */
	close(open("f", O_RDONLY));
	for_user(1000, 1000, -1) {
		other = MUST(open("f", O_RDWR));
		say_lock("other", other, F_WRLCK);
		DO(lock(other, F_SETLKW, F_WRLCK, 0, 0));
	}
	DO(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
	other = MUST(open("f", O_RDWR));
	DO(lock(other, F_OFD_SETLK, F_RDLCK, 0, 0));
	DO(lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
	DO(lock(other, F_OFD_SETLK, F_RDLCK, 0, 0));
	DO(flock(fd, LOCK_EX));
	DO(flock(other, LOCK_SH | LOCK_NB));
	DO(flock(fd, LOCK_SH));
	DO(flock(other, LOCK_SH | LOCK_NB));
	DO(flock(other, LOCK_EX | LOCK_NB));
	close(fd);
	DO(flock(other, LOCK_EX | LOCK_NB));
}

/* What inotify tells of changes made here. */
static void events(void)
{
	char buffer[4096] __attribute__((aligned(8)));
	int notify = MUST(inotify_init1(IN_NONBLOCK)), fd;

	mkdir("d", 0755);
	DO(inotify_add_watch(notify, "d", IN_ALL_EVENTS));
	fd = MUST(open("d/f", O_CREAT | O_RDWR, 0644));
	MUST(write(fd, "text", 4));
	MUST(pread(fd, buffer, 4, 0));
	close(fd);
	chmod("d/f", 0600);
	truncate("d/f", 1);
	link("d/f", "d/g");
	rename("d/f", "d/h");
	mkdir("d/sub", 0755);
	rmdir("d/sub");
	unlink("d/g");
	rename("d/h", "out");
	rmdir("d");
	for (ssize_t size; (size = read(notify, buffer, sizeof(buffer))) > 0;) {
		for (ssize_t at = 0; at < size;) {
			struct inotify_event *event = (void *)(buffer + at);

			say("%08x %s", event->mask, event->len ? event->name : "");
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

static void closed_descriptors(void)
{
	int fd, copy;
	char buffer[8];

	make("f", "text");
	fd = MUST(open("f", O_RDWR));
	copy = dup(fd);
	DO(close(fd));
	DO(read(fd, buffer, 1));
	DO(fsync(fd));
	NUMBER(read(copy, buffer, 2));
	NUMBER(lseek(copy, 0, SEEK_CUR));
	DO(fdatasync(copy));
	DO(syncfs(copy));
	DO(sync_file_range(copy, 0, 0, SYNC_FILE_RANGE_WRITE));
	DO(posix_fadvise(copy, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0);
	DO(fsync(MUST(open(".", O_RDONLY))));
	DO(readahead(copy, 0, 100));
}

const struct rule file_rules[] = {
	{"unlinked_while_open", unlinked_while_open},
	{"replaced_while_open", replaced_while_open},
	{"open_flags", open_flags},
	{"direct_access", direct_access},
	{"size_limit", size_limit},
	{"locks", locks},
	{"events", events},
	{"closed_descriptors", closed_descriptors},
	{NULL, NULL},
};
