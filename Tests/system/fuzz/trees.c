// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Times before this were set; later ones are of the run itself. 2001-09-09. */
#define SET_BEFORE 1000000000

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	/* FNV-1a. */
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3;
	return hash;
}

struct names {
	char **list;
	size_t count;
};

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Listing and reading must not move access times, which would be a change behind the mount. */
static int open_quietly(int directory, const char *name, int flags)
{
	return openat(directory, name, flags | O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
}

static struct names names_in(int directory)
{
	struct names names = {NULL, 0};
	DIR *stream = fdopendir(open_quietly(directory, ".", O_DIRECTORY));

	if (!stream)
		return names;
	for (struct dirent *entry; (entry = readdir(stream));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		names.list = realloc(names.list, (names.count + 1) * sizeof(*names.list));
		if (!names.list)
			abort();
		names.list[names.count++] = strdup(entry->d_name);
	}
	closedir(stream);
	if (names.count)
		qsort(names.list, names.count, sizeof(*names.list), by_name);
	return names;
}

static void forget(struct names names)
{
	for (size_t i = 0; i < names.count; i++)
		free(names.list[i]);
	free(names.list);
}

static uint64_t hash_data(int directory, const char *name)
{
	static char buffer[1 << 16];
	uint64_t hash = 1;
	int fd = open_quietly(directory, name, 0);
	ssize_t count;

	if (fd < 0)
		return (uint64_t)errno;
	while ((count = read(fd, buffer, sizeof(buffer))) > 0)
		hash = hash_bytes(hash, buffer, (size_t)count);
	close(fd);
	return count < 0 ? (uint64_t)errno : hash;
}

static uint64_t hash_target(int directory, const char *name)
{
	char target[4096];
	ssize_t size = readlinkat(directory, name, target, sizeof(target));

	return hash_bytes(1, target, size < 0 ? 0 : (size_t)size);
}

/* The sum over all attributes: they come in any order. */
static uint64_t hash_attributes(int directory, const char *name)
{
	static char list[1 << 16], value[1 << 16], path[600];
	uint64_t sum = 0;

	/* The path of the directory's descriptor and the name: there is no lgetxattrat. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
	ssize_t size = llistxattr(path, list, sizeof(list));

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1) {
		ssize_t length = lgetxattr(path, list + at, value, sizeof(value));
		uint64_t hash = hash_bytes(1, list + at, strlen(list + at) + 1);

		sum += hash_bytes(hash, value, length < 0 ? 0 : (size_t)length);
	}
	return sum;
}

struct comparison {
	int left, right;
	int exact;
	char path[4096];
	int differences;
};

static void differ(struct comparison *comparison, const char *what, long long left, long long right)
{
	comparison->differences++;
	printf("%s: %s: mount %lld, %s %lld\n", comparison->path, what, left,
	       comparison->exact ? "source" : "plain", right);
}

#define COMPARE(what, left, right)                                                       \
	do {                                                                             \
		if ((left) != (right))                                                   \
			differ(comparison, what, (long long)(left), (long long)(right)); \
	} while (0)

static void compare_times(struct comparison *comparison, const char *what, struct timespec left,
			  struct timespec right)
{
	if (!comparison->exact && left.tv_sec >= SET_BEFORE && right.tv_sec >= SET_BEFORE)
		return;
	COMPARE(what, left.tv_sec, right.tv_sec);
	COMPARE(what, left.tv_nsec, right.tv_nsec);
}

static void compare_stats(struct comparison *comparison, const struct stat *left,
			  const struct stat *right)
{
	COMPARE("mode", left->st_mode, right->st_mode);
	COMPARE("links", left->st_nlink, right->st_nlink);
	COMPARE("uid", left->st_uid, right->st_uid);
	COMPARE("gid", left->st_gid, right->st_gid);
	COMPARE("device", left->st_rdev, right->st_rdev);
	if (comparison->exact || !S_ISDIR(left->st_mode))
		COMPARE("size", left->st_size, right->st_size);
	/* What goes through a pipe moves no time on FUSE: the kernel asks nobody. */
	if (comparison->exact || !S_ISFIFO(left->st_mode))
		compare_times(comparison, "mtime", left->st_mtim, right->st_mtim);
	if (!comparison->exact)
		return;
	COMPARE("inode", left->st_ino, right->st_ino);
	/*
	 * A link's is moved by the comparison itself, which reads it in the source; the
	 * mount's target may come from the kernel's cache, and nobody tells the daemon.
	 */
	if (!S_ISLNK(left->st_mode))
		compare_times(comparison, "atime", left->st_atim, right->st_atim);
	compare_times(comparison, "ctime", left->st_ctim, right->st_ctim);
}

static void compare_directories(struct comparison *comparison);

static void compare_entries(struct comparison *comparison, const char *name)
{
	struct stat left, right;
	int left_error = fstatat(comparison->left, name, &left, AT_SYMLINK_NOFOLLOW) ? errno : 0;
	int right_error = fstatat(comparison->right, name, &right, AT_SYMLINK_NOFOLLOW) ? errno : 0;

	COMPARE("stat's error", left_error, right_error);
	if (left_error || right_error)
		return;
	compare_stats(comparison, &left, &right);
	COMPARE("extended attributes", hash_attributes(comparison->left, name),
		hash_attributes(comparison->right, name));
	if (S_ISREG(left.st_mode))
		COMPARE("data", hash_data(comparison->left, name),
			hash_data(comparison->right, name));
	if (S_ISLNK(left.st_mode))
		COMPARE("target", hash_target(comparison->left, name),
			hash_target(comparison->right, name));
	if (!S_ISDIR(left.st_mode) || !S_ISDIR(right.st_mode))
		return;
	struct comparison below = *comparison;

	below.left = open_quietly(comparison->left, name, O_DIRECTORY);
	below.right = open_quietly(comparison->right, name, O_DIRECTORY);
	compare_directories(&below);
	comparison->differences = below.differences;
	close(below.left);
	close(below.right);
}

static void compare_directories(struct comparison *comparison)
{
	struct names left = names_in(comparison->left), right = names_in(comparison->right);
	size_t length = strlen(comparison->path);

	for (size_t i = 0, j = 0; i < left.count || j < right.count;) {
		int order = i == left.count    ? 1
			    : j == right.count ? -1
					       : strcmp(left.list[i], right.list[j]);
		const char *name = order <= 0 ? left.list[i] : right.list[j];

		snprintf(comparison->path + length, sizeof(comparison->path) - length, "/%s", name);
		if (order == 0)
			compare_entries(comparison, name);
		else
			differ(comparison, "is there", (order < 0), (order > 0));
		i += order <= 0;
		j += order >= 0;
	}
	comparison->path[length] = 0;
	forget(left);
	forget(right);
}

static int differences(int left, int right, int exact)
{
	struct comparison comparison = {.left = left, .right = right, .exact = exact, .path = "."};

	compare_directories(&comparison);
	return comparison.differences;
}

int differs_from_source(int mount, int source)
{
	return differences(mount, source, 1);
}

int differs_from_plain(int mount, int plain)
{
	return differences(mount, plain, 0);
}
