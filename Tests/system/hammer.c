// SPDX-License-Identifier: Apache-2.0
/*
 * hammer DIRECTORY SECONDS THREADS [same]: stats every file below DIRECTORY, over
 * and over. Prints how many calls there were, and how many failed with what:
 *
 *	calls=123456 ENOTCONN=3
 *
 * With `same`, a file's size and inode must stay as they were first seen, or it
 * counts as CHANGED. Ends early on SIGTERM, and when every thread has met an
 * error that means a dead mount.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct file {
	char *path;
	ino_t ino;
	off_t size;
};

#define ERRNOS 134
#define CHANGED 0

static struct file *files;
static size_t file_count;
static double deadline;
static int check_same;
static volatile sig_atomic_t stopped;
static unsigned long calls, failures[ERRNOS];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static int add(const char *path, const struct stat *info, int type, struct FTW *place)
{
	(void)type;
	(void)place;
	files = realloc(files, (file_count + 1) * sizeof(*files));
	if (!files)
		abort();
	files[file_count++] = (struct file){strdup(path), info->st_ino, info->st_size};
	return 0;
}

static void *run(void *argument)
{
	size_t next = (size_t)argument;
	struct stat info;

	while (now() < deadline && !stopped) {
		for (int burst = 0; burst < 64; burst++) {
			struct file *file = &files[next++ % file_count];

			__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
			if (lstat(file->path, &info)) {
				int error = errno < ERRNOS ? errno : 1;

				__atomic_fetch_add(&failures[error], 1, __ATOMIC_RELAXED);
				if (error == ENOTCONN || error == ECONNABORTED)
					return NULL;
			} else if (check_same &&
				   (info.st_ino != file->ino || info.st_size != file->size)) {
				__atomic_fetch_add(&failures[CHANGED], 1, __ATOMIC_RELAXED);
			}
		}
	}
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t threads[64];
	int thread_count;

	if (count < 4) {
		fprintf(stderr, "usage: hammer DIRECTORY SECONDS THREADS [same]\n");
		return 2;
	}
	thread_count = atoi(arguments[3]);
	check_same = count > 4;
	if (nftw(arguments[1], add, 64, FTW_PHYS) || !file_count) {
		fprintf(stderr, "hammer: cannot list %s: %s\n", arguments[1], strerror(errno));
		return 1;
	}
	printf("files=%zu\n", file_count);
	fflush(stdout);
	signal(SIGTERM, stop);
	deadline = now() + atof(arguments[2]);
	for (int i = 0; i < thread_count && i < 64; i++)
		pthread_create(&threads[i], NULL, run, (void *)(size_t)(i * 37));
	for (int i = 0; i < thread_count && i < 64; i++)
		pthread_join(threads[i], NULL);
	printf("calls=%lu", calls);
	for (int i = 0; i < ERRNOS; i++) {
		if (failures[i])
			printf(" %s=%lu", i == CHANGED ? "CHANGED" : strerrorname_np(i),
			       failures[i]);
	}
	printf("\n");
	return 0;
}
