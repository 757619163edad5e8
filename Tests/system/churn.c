// SPDX-License-Identifier: Apache-2.0
/*
 * churn DIRECTORY SECONDS THREADS [nolinks]: makes, opens, reads, holds, renames, links,
 * lists and removes files and directories below DIRECTORY, at random. Prints how
 * many calls there were, and how many failed with what they must not:
 *
 *	calls=123456 ESTALE=3
 *	ESTALE: mkdir 2, stat 1
 *
 * The bytes of a file are all the same, whatever becomes of its names; others count
 * as MIXED. Whoever holds a file can read it and ask for its attributes. `nolinks`:
 * no file has several names. Ends early on SIGTERM, and when every thread has met an
 * error that means a dead mount.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum {
	DIRECTORIES = 4,
	NAMES = 48,
	HELD = 8,
	SIZE = 4096,
	MIXED = 0,
	ERRNOS = 134
};

static int top, no_links;
static time_t deadline;
static volatile sig_atomic_t stopped;
static unsigned long calls;

enum call {
	STAT,
	OPEN,
	HELD_FILE,
	CREATE,
	UNLINK,
	RENAME,
	LINK,
	MKDIR,
	RMDIR,
	LIST,
	CHMOD,
	GETXATTR,
	STATFS,
	SYMLINK,
	READLINK,
	CALLS
};
static const char *const call_names[CALLS] = {
	"stat",  "open", "held file", "create",   "unlink", "rename",  "link",     "mkdir",
	"rmdir", "list", "chmod",     "getxattr", "statfs", "symlink", "readlink",
};
static unsigned long failures[ERRNOS][CALLS];

struct worker {
	unsigned int seed;
	unsigned long calls;
	int held[HELD];
	int is_dead;
	unsigned char buffer[SIZE];
};

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static unsigned int below(struct worker *worker, unsigned int bound)
{
	return (unsigned int)rand_r(&worker->seed) % bound;
}

static void count(enum call call, unsigned int failure)
{
	__atomic_add_fetch(&failures[failure < ERRNOS ? failure : 1][call], 1, __ATOMIC_RELAXED);
}

/* What a call may fail with because others make and remove the same names. */
static int is_expected(int error)
{
	return error == ENOENT || error == EEXIST || error == ENOTEMPTY || error == ENOTDIR ||
	       error == EISDIR;
}

/* Notes what a call returned; `also`: another error that it may have, or 0. */
static int note(struct worker *worker, enum call call, int result, int also)
{
	worker->calls++;
	if (result >= 0 || is_expected(errno) || errno == also)
		return result;
	worker->is_dead |= errno == ENOTCONN || errno == ECONNABORTED;
	count(call, errno);
	return result;
}

/* The same of a file that the worker holds: no error is expected. */
static void note_held(struct worker *worker, int result)
{
	worker->calls++;
	if (result >= 0)
		return;
	worker->is_dead |= errno == ENOTCONN || errno == ECONNABORTED;
	count(HELD_FILE, errno);
}

static void check_bytes(const unsigned char *bytes, ssize_t size)
{
	for (ssize_t i = 1; i < size; i++) {
		if (bytes[i] != bytes[0]) {
			count(HELD_FILE, MIXED);
			return;
		}
	}
}

static void create(struct worker *worker, const char *name)
{
	int fd = note(worker, CREATE, openat(top, name, O_WRONLY | O_CREAT | O_EXCL, 0644), 0);

	if (fd < 0)
		return;
	memset(worker->buffer, 1 + below(worker, 255), SIZE);
	note_held(worker, write(fd, worker->buffer, SIZE));
	note_held(worker, close(fd));
}

static void read_whole(struct worker *worker, const char *name)
{
	int fd = note(worker, OPEN, openat(top, name, O_RDONLY | O_NOFOLLOW), ELOOP);
	ssize_t size;

	if (fd < 0)
		return;
	size = read(fd, worker->buffer, SIZE);
	if (size < 0 && errno == EISDIR)
		size = 0;
	note_held(worker, size);
	check_bytes(worker->buffer, size);
	note_held(worker, close(fd));
}

static void hold(struct worker *worker, int slot, const char *name)
{
	int fd = openat(top, name, O_RDONLY | O_NOFOLLOW);
	struct stat status;

	note(worker, OPEN, fd, ELOOP);
	if (fd < 0)
		return;
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		return;
	}
	if (worker->held[slot] >= 0)
		note_held(worker, close(worker->held[slot]));
	worker->held[slot] = fd;
}

static void ask_held(struct worker *worker, int slot)
{
	struct stat status;
	ssize_t size;

	if (worker->held[slot] < 0)
		return;
	note_held(worker, fstat(worker->held[slot], &status));
	size = pread(worker->held[slot], worker->buffer, SIZE, 0);
	note_held(worker, size);
	check_bytes(worker->buffer, size);
}

static void list(struct worker *worker, const char *directory)
{
	int fd = note(worker, LIST, openat(top, directory, O_RDONLY | O_DIRECTORY), 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream)
		return;
	errno = 0;
	while (readdir(stream))
		;
	note(worker, LIST, errno ? -1 : 0, 0);
	closedir(stream);
}

static void step(struct worker *worker)
{
	char name[64], other[64], directory[8];
	struct statfs room;
	struct stat status;
	int slot = below(worker, HELD);

	snprintf(directory, sizeof(directory), "%u", below(worker, DIRECTORIES));
	snprintf(name, sizeof(name), "%s/%u", directory, below(worker, NAMES));
	snprintf(other, sizeof(other), "%u/%u", below(worker, DIRECTORIES), below(worker, NAMES));
	switch (below(worker, 100)) {
	case 0 ... 24:
		note(worker, STAT, fstatat(top, name, &status, AT_SYMLINK_NOFOLLOW), 0);
		break;
	case 25 ... 44:
		read_whole(worker, name);
		break;
	case 45 ... 49:
		hold(worker, slot, name);
		break;
	case 50 ... 54:
		ask_held(worker, slot);
		break;
	case 55 ... 66:
		create(worker, name);
		break;
	case 67 ... 72:
		note(worker, UNLINK, unlinkat(top, name, 0), EPERM);
		break;
	case 73 ... 79:
		note(worker, RENAME, renameat(top, name, top, other), 0);
		break;
	case 80 ... 82:
		if (!no_links)
			note(worker, LINK, linkat(top, name, top, other, 0), EPERM);
		break;
	case 83 ... 84:
		note(worker, MKDIR, mkdirat(top, name, 0755), 0);
		break;
	case 85 ... 87:
		note(worker, RMDIR, unlinkat(top, name, AT_REMOVEDIR), 0);
		break;
	case 88 ... 90:
		list(worker, directory);
		break;
	case 91 ... 92:
		note(worker, CHMOD, fchmodat(top, name, 0600 + below(worker, 0100), 0), 0);
		break;
	case 93 ... 95: {
		char path[96];

		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", top, name);
		note(worker, GETXATTR, lgetxattr(path, "trusted.none", NULL, 0), ENODATA);
		break;
	}
	case 96:
		note(worker, STATFS, fstatfs(top, &room), 0);
		break;
	case 97:
		note(worker, SYMLINK, symlinkat("nowhere", top, name), 0);
		break;
	default:
		note(worker, READLINK, readlinkat(top, name, other, sizeof(other)), EINVAL);
		break;
	}
}

static void *run(void *argument)
{
	struct worker *worker = argument;

	while (!stopped && !worker->is_dead && time(NULL) < deadline) {
		for (int burst = 0; burst < 16 && !worker->is_dead; burst++)
			step(worker);
	}
	for (int slot = 0; slot < HELD; slot++) {
		if (worker->held[slot] >= 0)
			close(worker->held[slot]);
	}
	__atomic_add_fetch(&calls, worker->calls, __ATOMIC_RELAXED);
	return NULL;
}

static const char *failure_name(int failure)
{
	return failure == MIXED ? "MIXED" : strerrorname_np(failure);
}

static unsigned long sum(const unsigned long *counts)
{
	unsigned long all = 0;

	for (int call = 0; call < CALLS; call++)
		all += counts[call];
	return all;
}

/* The calls that failed so, each with how often it did. */
static void print_calls(int failure)
{
	const char *before = ": ";

	if (!sum(failures[failure]))
		return;
	printf("%s", failure_name(failure));
	for (int call = 0; call < CALLS; call++) {
		if (!failures[failure][call])
			continue;
		printf("%s%s %lu", before, call_names[call], failures[failure][call]);
		before = ", ";
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[3]) : 0;
	static struct worker workers[64];
	pthread_t thread[64];

	if (argc < 4 || threads < 1 || threads > 64)
		errx(2, "usage: churn DIRECTORY SECONDS THREADS [nolinks]; THREADS from 1 to 64");
	no_links = argc > 4;
	top = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (top < 0)
		err(2, "%s", argv[1]);
	for (int i = 0; i < DIRECTORIES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%d", i);
		if (mkdirat(top, name, 0755) && errno != EEXIST)
			err(2, "%s/%s", argv[1], name);
	}
	signal(SIGTERM, stop);
	deadline = time(NULL) + atoi(argv[2]);
	for (int i = 0; i < threads; i++) {
		workers[i].seed = (unsigned int)time(NULL) * 64 + i;
		memset(workers[i].held, -1, sizeof(workers[i].held));
		pthread_create(&thread[i], NULL, run, &workers[i]);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("calls=%lu", calls);
	for (int i = 0; i < ERRNOS; i++) {
		if (sum(failures[i]))
			printf(" %s=%lu", failure_name(i), sum(failures[i]));
	}
	printf("\n");
	for (int i = 0; i < ERRNOS; i++)
		print_calls(i);
	return 0;
}
