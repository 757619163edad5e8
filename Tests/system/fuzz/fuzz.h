/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	MOUNT,
	PLAIN,
	SIDES
};

/* The directories that operations go to, open. */
extern int roots[SIDES];

/* Random numbers, the same for the same seed. */
uint32_t draw(uint32_t below);

enum {
	SLOTS = 8,
	/* Bytes of one read or write. */
	LARGEST_TRANSFER = 1 << 17,
	PATH_SIZE = 600
};

/* One operation, as drawn; which fields count depends on the kind. */
struct operation {
	int kind;
	char path[PATH_SIZE], other[PATH_SIZE];
	int slot;
	uid_t uid;
	gid_t gid;
	int flags;
	mode_t mode;
	off_t offset;
	size_t size;
	unsigned char fill;
	int64_t times[2];
};

/* What must be the same on both sides. */
struct result {
	long value;
	int error;
	/* Of all bytes that the operation returned. */
	uint64_t hash;
};

/* One kind of operation. */
struct kind {
	const char *name;
	int weight;
	long (*perform)(int side, const struct operation *operation, struct result *result);
	/* What the operation uses: for the description. */
	enum uses {
		PATH = 1,
		OTHER = 2,
		SLOT = 4,
		RANGE = 8,
		MODE = 16,
		CHANGES = 32
	} uses;
};

extern const struct kind kinds[];
extern const int kind_count;

void draw_operation(struct operation *operation);
/* Lets later operations draw the paths of this one, if it succeeded. */
void remember(const struct operation *operation, const struct result *result);
void describe(const struct operation *operation, FILE *out);
/* True if the operation would leave a trace in the tree if it succeeds. */
int leaves_trace(const struct operation *operation, const struct result *result);
struct result perform(int side, const struct operation *operation);

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);

/*
 * Compare the trees below two directories: names, attributes, data, extended attributes. Print
 * each difference and return how many there are. The mount must show its source as it is, all times
 * included; two different trees share only what was set.
 */
int differs_from_source(int mount, int source);
int differs_from_plain(int mount, int plain);

#endif
