// SPDX-License-Identifier: Apache-2.0
/* Which operations come, and how a report shows them. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>

enum {
	/* Bytes of the largest file, or nearly so. */
	LARGEST = 300000
};

/* Paths that existed a while ago: most operations should find something. */
static char known[64][PATH_SIZE];

void remember(const struct operation *o, const struct result *result)
{
	int uses = kinds[o->kind].uses;

	if (result->value >= 0 && uses & PATH)
		strcpy(known[draw(64)], uses & OTHER && draw(4) ? o->other : o->path);
}

static void draw_path(char path[PATH_SIZE])
{
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "f", "a-name-that-is-longer-than-32-bytes", "\xff\xfe"};
	int depth = 1 + (int)draw(3);

	if (draw(5) > 1) {
		strcpy(path, known[draw(64)]);
		if (path[0] && (draw(4) || strlen(path) > 100))
			return;
		if (path[0])
			strcat(path, "/");
		strcat(path, names[draw(8)]);
		return;
	}
	path[0] = 0;
	for (int i = 0; i < depth; i++) {
		if (i)
			strcat(path, "/");
		strcat(path, names[draw(8)]);
	}
	if (draw(40) == 0) {
		strcat(path, "/");
		memset(path + strlen(path), 'x', 256 - draw(3));
	}
}

void draw_operation(struct operation *o)
{
	static const mode_t modes[] = {0777, 0755, 0644, 0600, 0, 0770, 0666, 0750};
	static const uid_t users[] = {0, 0, 0, 0, 0, 0, 1000, 1001};
	static const gid_t groups[] = {0, 1000, 50, 60};
	int sum = 0, at;

	memset(o, 0, sizeof(*o));
	for (int i = 0; i < kind_count; i++)
		sum += kinds[i].weight;
	at = (int)draw((uint32_t)sum);
	for (o->kind = 0; at >= kinds[o->kind].weight; o->kind++)
		at -= kinds[o->kind].weight;
	draw_path(o->path);
	draw_path(o->other);
	o->slot = (int)draw(SLOTS);
	o->uid = users[draw(8)];
	o->gid = o->uid == 1001 ? 50 : o->uid;
	o->flags = (draw(2) ? O_RDWR : (int)draw(3)) | (draw(2) ? O_CREAT : 0) |
		   (draw(8) ? 0 : O_EXCL) | (draw(5) ? 0 : O_TRUNC) | (draw(5) ? 0 : O_APPEND) |
		   (draw(12) ? 0 : O_NOFOLLOW) | (draw(20) ? 0 : O_DIRECTORY) |
		   (draw(20) ? 0 : O_SYNC);
	o->mode = modes[draw(8)] | (draw(6) ? 0 : draw(8) << 9);
	o->offset = draw(4) ? draw(20000) : draw(LARGEST);
	o->size = draw(4) ? draw(5000) : draw(LARGEST_TRANSFER);
	o->fill = (unsigned char)draw(256);
	o->times[0] = draw(1u << 31);
	o->times[1] = draw(1u << 31);
	if (!strcmp(kinds[o->kind].name, "chown")) {
		o->times[0] = users[draw(8)];
		o->times[1] = groups[draw(4)];
	}
}

void describe(const struct operation *o, FILE *out)
{
	const struct kind *kind = &kinds[o->kind];

	fprintf(out, "%u: %s(", o->uid, kind->name);
	if (kind->uses & PATH)
		fprintf(out, " %s", o->path);
	if (kind->uses & OTHER)
		fprintf(out, " %s", o->other);
	if (kind->uses & SLOT)
		fprintf(out, " slot %d", o->slot);
	if (kind->uses & RANGE)
		fprintf(out, " offset %ld size %zu", (long)o->offset, o->size);
	if (kind->uses & MODE)
		fprintf(out, " mode %04o", o->mode);
	fprintf(out, " flags %#o fill %u times %ld %ld)", o->flags, o->fill, (long)o->times[0],
		(long)o->times[1]);
}

int leaves_trace(const struct operation *o, const struct result *result)
{
	/* Without an open file's name it would not be seen: by path only. */
	return kinds[o->kind].uses & CHANGES && kinds[o->kind].uses & PATH && result->value >= 0;
}
