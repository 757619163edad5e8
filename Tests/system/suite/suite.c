// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

const char *outcome(long result)
{
	return result == -1 ? strerrorname_np(errno) : "ok";
}

const char *returned(long result)
{
	static char text[32];

	if (result == -1)
		return strerrorname_np(errno);
	snprintf(text, sizeof(text), "%ld", result);
	return text;
}

long must(long result, const char *call)
{
	if (result == -1) {
		say("CANNOT GO ON: %s: %s", call, strerrorname_np(errno));
		fflush(stdout);
		_exit(1);
	}
	return result;
}

void make(const char *path, const char *content)
{
	int fd = MUST(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));

	MUST(write(fd, content, strlen(content)));
	MUST(close(fd));
}

static void show_stat(const char *what, const struct stat *info)
{
	static const char types[] = "0pc3d5b7-9lBsDEF";

	printf("%s: %c%04o links %lu owner %u:%u", what, types[info->st_mode >> 12 & 15],
	       info->st_mode & 07777, (unsigned long)info->st_nlink, info->st_uid, info->st_gid);
	/* How large a directory is depends on its history. */
	if (!S_ISDIR(info->st_mode))
		printf(" size %lld", (long long)info->st_size);
	if (info->st_rdev)
		printf(" device %u:%u", major(info->st_rdev), minor(info->st_rdev));
	putchar('\n');
}

void show(const char *path)
{
	struct stat info;

	if (lstat(path, &info))
		say("%s: %s", path, strerrorname_np(errno));
	else
		show_stat(path, &info);
}

void show_fd(const char *what, int fd)
{
	struct stat info;

	if (fstat(fd, &info))
		say("%s: %s", what, strerrorname_np(errno));
	else
		show_stat(what, &info);
}

void content_fd(const char *what, int fd)
{
	char text[200];
	ssize_t count = pread(fd, text, sizeof(text), 0);

	if (count < 0) {
		say("content of %s: %s", what, strerrorname_np(errno));
		return;
	}
	printf("content of %s: ", what);
	for (ssize_t i = 0; i < count; i++)
		printf(text[i] >= ' ' && text[i] <= '~' ? "%c" : "<%02x>", text[i] & 0xff);
	putchar('\n');
}

void content(const char *path)
{
	int fd = open(path, O_RDONLY);

	content_fd(path, fd);
	if (fd >= 0)
		close(fd);
}

void entries(const char *path)
{
	DIR *stream = opendir(path);
	int count = 0;

	if (!stream) {
		say("entries of %s: %s", path, strerrorname_np(errno));
		return;
	}
	for (struct dirent *entry; (entry = readdir(stream));)
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(stream);
	say("entries of %s: %d", path, count);
}

/* Times. */

static struct {
	const char *path;
	int exists;
	struct stat info;
} marks[8];
static int mark_count;

void tick(void)
{
	struct timespec before, now;

	/* A file's times are those of the last timer interrupt. */
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	do {
		usleep(2000);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (before.tv_sec == now.tv_sec && before.tv_nsec == now.tv_nsec);
}

void watch(const char *path, ...)
{
	va_list paths;

	va_start(paths, path);
	for (mark_count = 0; path && mark_count < 8; mark_count++) {
		marks[mark_count].path = path;
		marks[mark_count].exists = !lstat(path, &marks[mark_count].info);
		path = va_arg(paths, const char *);
	}
	va_end(paths);
	tick();
}

static int differ(struct timespec left, struct timespec right)
{
	return left.tv_sec != right.tv_sec || left.tv_nsec != right.tv_nsec;
}

void report(void)
{
	for (int i = 0; i < mark_count; i++) {
		struct stat old = marks[i].info, new;
		int exists = !lstat(marks[i].path, &new);

		if (!exists || !marks[i].exists) {
			say("  %s: %s", marks[i].path,
			    exists            ? "appeared"
			    : marks[i].exists ? "disappeared"
					      : "absent");
			continue;
		}
		if (old.st_ino != new.st_ino) {
			say("  %s: another file", marks[i].path);
			continue;
		}
		printf("  %s:%s%s%s", marks[i].path,
		       differ(old.st_atim, new.st_atim) ? " atime" : "",
		       differ(old.st_mtim, new.st_mtim) ? " mtime" : "",
		       differ(old.st_ctim, new.st_ctim) ? " ctime" : "");
		if (old.st_nlink != new.st_nlink)
			printf(" links %+ld", (long)new.st_nlink - (long)old.st_nlink);
		if (old.st_mode != new.st_mode)
			printf(" mode %04o", new.st_mode & 07777);
		if (!S_ISDIR(new.st_mode) && old.st_size != new.st_size)
			printf(" size %+lld", (long long)(new.st_size - old.st_size));
		putchar('\n');
	}
}

/* Processes. */

int as_user(uid_t uid, gid_t gid, ...)
{
	gid_t groups[16];
	int count = 0, status, group;
	va_list list;

	va_start(list, gid);
	while (count < 16 && (group = va_arg(list, int)) != -1)
		groups[count++] = (gid_t)group;
	va_end(list);
	fflush(stdout);
	pid_t child = MUST(fork());

	if (child) {
		MUST(waitpid(child, &status, 0));
		if (status)
			say("THE USER'S PROCESS ENDED with status %#x", status);
		return 0;
	}
	MUST(setgroups((size_t)count, groups));
	MUST(setresgid(gid, gid, gid));
	MUST(setresuid(uid, uid, uid));
	say("as %u:%u", uid, gid);
	return 1;
}

int end_user(void)
{
	fflush(stdout);
	_exit(0);
}

long in_parallel(int count, long (*body)(int))
{
	long sum = 0, result;
	int results[2], start[2];
	char byte;

	MUST(pipe(results));
	MUST(pipe(start));
	fflush(stdout);
	for (int i = 0; i < count; i++) {
		if (MUST(fork()))
			continue;
		close(start[1]);
		/* All at once: when the parent closes its end. */
		if (read(start[0], &byte, 1) < 0)
			_exit(1);
		result = body(i);
		_exit(write(results[1], &result, sizeof(result)) != sizeof(result));
	}
	close(start[0]);
	close(start[1]);
	close(results[1]);
	while (read(results[0], &result, sizeof(result)) == sizeof(result))
		sum += result;
	close(results[0]);
	while (wait(NULL) > 0)
		;
	return sum;
}
