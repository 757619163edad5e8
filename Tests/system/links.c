// SPDX-License-Identifier: Apache-2.0
/*
 * links FILE ROUNDS THREADS: links FILE and removes the new name, again and again,
 * while THREADS others ask for its attributes. A file that has FILE's name all the
 * while must never seem to have none: link(2) must not fail, and the count is 1
 * after each round. Prints how many rounds, and how many were wrong.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static atomic_int is_over;

static void *ask(void *unused)
{
	struct stat status;

	(void)unused;
	while (!atomic_load(&is_over)) {
		if (fstat(file, &status))
			err(2, "fstat");
	}
	return NULL;
}

/* The count that the kernel has, without asking for anything else. */
static unsigned count(void)
{
	struct statx status;

	if (statx(file, "", AT_EMPTY_PATH, STATX_NLINK, &status))
		err(2, "statx");
	return status.stx_nlink;
}

int main(int argc, char **argv)
{
	int rounds, threads, refused = 0, miscounted = 0;
	pthread_t thread[64];
	char name[4096];

	if (argc != 4)
		errx(2, "usage: links FILE ROUNDS THREADS");
	rounds = atoi(argv[2]);
	threads = atoi(argv[3]);
	if (rounds < 1 || threads < 1 || threads > 64)
		errx(2, "ROUNDS from 1, THREADS from 1 to 64");
	file = open(argv[1], O_RDONLY);
	if (file < 0)
		err(2, "%s", argv[1]);
	snprintf(name, sizeof(name), "%s.link", argv[1]);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, ask, NULL);
	for (int i = 0; i < rounds; i++) {
		if (link(argv[1], name)) {
			if (errno != ENOENT)
				err(2, "link");
			refused++;
			continue;
		}
		if (unlink(name))
			err(2, "unlink");
		if (count() != 1)
			miscounted++;
	}
	atomic_store(&is_over, 1);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("rounds=%d refused=%d miscounted=%d\n", rounds, refused, miscounted);
	return refused || miscounted;
}
