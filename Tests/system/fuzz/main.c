// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz [-s SEED] [-n OPERATIONS] [-b BATCH] [-t] MOUNT SOURCE PLAIN
 *
 * Performs random operations, each on MOUNT and on PLAIN, both empty at first. Each must have the
 * same result on both; after every BATCH operations MOUNT's tree must be PLAIN's, and exactly what
 * SOURCE holds. Ends at the first difference, with the last operations before it: status 1.
 *
 * -t, the twin: half-way one operation is left out on PLAIN, and the trees are compared. If they
 * are equal, because it changed nothing (a mode that was set already), the next one is left out, up
 * to LEFT_OUT of them. A run that notices none of them is broken.
 *
 * The same seed gives the same operations. As root; other users' operations are among them.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int roots[SIDES];

static uint64_t state;

uint32_t draw(uint32_t below)
{
	/* splitmix64 (Steele, Lea, Flood 2014). */
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

enum {
	KEPT = 25,
	LEFT_OUT = 20
};

static struct operation last[KEPT];
static struct result results[KEPT][SIDES];

static int same(const struct result *left, const struct result *right)
{
	return left->value == right->value && left->error == right->error &&
	       left->hash == right->hash;
}

static void print_last(long number)
{
	for (long i = number < KEPT - 1 ? 0 : number - KEPT + 1; i <= number; i++) {
		struct result *mount = &results[i % KEPT][MOUNT],
			      *plain = &results[i % KEPT][PLAIN];

		printf("%8ld ", i);
		describe(&last[i % KEPT], stdout);
		printf(" = %ld %s", mount->value,
		       mount->error ? strerrorname_np(mount->error) : "");
		if (!same(mount, plain))
			printf(" ≠ plain %ld %s%s", plain->value,
			       plain->error ? strerrorname_np(plain->error) : "",
			       mount->hash != plain->hash ? " (other data)" : "");
		printf("\n");
	}
}

static int open_root(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	return fd;
}

static int compare(int source)
{
	/* Reads ahead under way still move access times. */
	usleep(20000);
	int differences = differs_from_source(roots[MOUNT], source);

	return differences + differs_from_plain(roots[MOUNT], roots[PLAIN]);
}

int main(int count, char **arguments)
{
	long operations = 10000, batch = 1000, succeeded = 0;
	unsigned long long seed = (unsigned long long)time(NULL);
	int option, is_twin = 0, left_out = 0;

	while ((option = getopt(count, arguments, "s:n:b:t")) != -1) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			operations = atol(optarg);
			break;
		case 'b':
			batch = atol(optarg);
			break;
		case 't':
			is_twin = 1;
			break;
		default:
			return 2;
		}
	}
	if (count - optind != 3 || batch < 1) {
		fprintf(stderr, "usage: fuzz [-s SEED] [-n OPERATIONS] [-b BATCH] [-t] "
				"MOUNT SOURCE PLAIN\n");
		return 2;
	}
	roots[MOUNT] = open_root(arguments[optind]);
	int source = open_root(arguments[optind + 1]);

	roots[PLAIN] = open_root(arguments[optind + 2]);
	fchmod(roots[MOUNT], 0777);
	fchmod(roots[PLAIN], 0777);
	/* A pipe that nobody reads is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	state = seed;
	printf("seed %llu\n", seed);
	fflush(stdout);
	for (long i = 0; i < operations; i++) {
		struct operation *operation = &last[i % KEPT];
		struct result *result = results[i % KEPT];

		draw_operation(operation);
		result[MOUNT] = perform(MOUNT, operation);
		int is_left_out = is_twin && left_out < LEFT_OUT && i >= operations / 2 &&
				  leaves_trace(operation, &result[MOUNT]);

		if (is_left_out) {
			left_out++;
			printf("left out operation %ld\n", i);
			result[PLAIN] = result[MOUNT];
		} else {
			result[PLAIN] = perform(PLAIN, operation);
		}
		succeeded += result[MOUNT].value >= 0;
		if (!same(&result[MOUNT], &result[PLAIN])) {
			print_last(i);
			printf("seed %llu: operation %ld differs\n", seed, i);
			return 1;
		}
		remember(operation, &result[MOUNT]);
		int is_due = is_left_out || (i + 1) % batch == 0 || i + 1 == operations;

		if (is_due && compare(source)) {
			print_last(i);
			printf("seed %llu: the trees differ after operation %ld\n", seed, i);
			return 1;
		}
	}
	printf("%ld operations, %ld of them succeeded, no difference\n", operations, succeeded);
	return 0;
}
