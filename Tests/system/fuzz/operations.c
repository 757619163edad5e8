// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int files[SIDES][SLOTS];
static int files_ready;
static unsigned char buffer[LARGEST_TRANSFER];

static int file(int side, const struct operation *operation)
{
	return files[side][operation->slot] - 1;
}

static void keep(int side, int slot, int fd)
{
	if (files[side][slot])
		close(files[side][slot] - 1);
	files[side][slot] = fd + 1;
}

/* Operations: one function each, which performs it where the process is. */

static long do_open(int side, const struct operation *o, struct result *result)
{
	/* Never waits for the other end of a pipe. */
	int fd = open(o->path, o->flags | O_NONBLOCK | O_CLOEXEC, o->mode);

	(void)result;
	if (fd < 0)
		return -1;
	keep(side, o->slot, fd);
	return 0;
}

static long do_close(int side, const struct operation *o, struct result *result)
{
	(void)result;
	keep(side, o->slot, -1);
	return 0;
}

static void fill(const struct operation *o)
{
	for (size_t i = 0; i < o->size; i++)
		buffer[i] = (unsigned char)(o->fill + i * 7);
}

static long do_write(int side, const struct operation *o, struct result *result)
{
	(void)result;
	fill(o);
	return write(file(side, o), buffer, o->size);
}

static long do_pwrite(int side, const struct operation *o, struct result *result)
{
	(void)result;
	fill(o);
	return pwrite(file(side, o), buffer, o->size, o->offset);
}

static long hashed(long count, struct result *result)
{
	if (count > 0)
		result->hash = hash_bytes(1, buffer, (size_t)count);
	return count;
}

static long do_read(int side, const struct operation *o, struct result *result)
{
	return hashed(read(file(side, o), buffer, o->size), result);
}

static long do_pread(int side, const struct operation *o, struct result *result)
{
	return hashed(pread(file(side, o), buffer, o->size, o->offset), result);
}

static long do_seek(int side, const struct operation *o, struct result *result)
{
	struct stat info;

	(void)result;
	/* Where directories can be sought to is the file system's business. */
	if (fstat(file(side, o), &info) || !S_ISREG(info.st_mode))
		return 0;
	return lseek(file(side, o), o->offset, (int)o->size % 3);
}

/* Writes a byte through a mapping and reads another one. */
static long do_map(int side, const struct operation *o, struct result *result)
{
	struct stat info;
	int fd = file(side, o);

	if (fstat(fd, &info))
		return -1;
	if (!S_ISREG(info.st_mode) || o->offset >= info.st_size)
		return 0;
	off_t page = o->offset & ~4095L;
	unsigned char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);

	if (memory == MAP_FAILED)
		return -1;
	memory[o->offset - page] = o->fill;
	result->hash = memory[0];
	long value = msync(memory, 4096, MS_SYNC);

	munmap(memory, 4096);
	return value;
}

static long do_ftruncate(int side, const struct operation *o, struct result *result)
{
	(void)result;
	return ftruncate(file(side, o), o->offset);
}

static long do_truncate(int side, const struct operation *o, struct result *result)
{
	(void)side;
	(void)result;
	return truncate(o->path, o->offset);
}

static long do_fallocate(int side, const struct operation *o, struct result *result)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	int fd = file(side, o), mode = modes[o->fill % 5];
	struct stat info;

	(void)result;
	/* A known difference, see docs/semantics.md. */
	if (mode & FALLOC_FL_PUNCH_HOLE && o->uid && !fstat(fd, &info) &&
	    o->offset >= info.st_size &&
	    (info.st_mode & S_ISUID || (info.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)))
		return 0;
	return fallocate(fd, mode, o->offset, (off_t)o->size);
}

static long do_copy(int side, const struct operation *o, struct result *result)
{
	loff_t from = o->offset, to = o->times[0] & 0xffff;

	(void)result;
	return copy_file_range(file(side, o), &from, files[side][o->fill % SLOTS] - 1, &to, o->size,
			       0);
}

static long do_fsync(int side, const struct operation *o, struct result *result)
{
	(void)result;
	return o->fill & 1 ? fsync(file(side, o)) : fdatasync(file(side, o));
}

static void put_stat(const struct stat *info, struct result *result)
{
	struct {
		uint64_t mode, links, uid, gid, size, device;
	} seen = {info->st_mode,
		  info->st_nlink,
		  info->st_uid,
		  info->st_gid,
		  S_ISDIR(info->st_mode) ? 0 : (uint64_t)info->st_size,
		  info->st_rdev};

	result->hash = hash_bytes(1, &seen, sizeof(seen));
}

static long do_fstat(int side, const struct operation *o, struct result *result)
{
	struct stat info;

	if (fstat(file(side, o), &info))
		return -1;
	put_stat(&info, result);
	return 0;
}

static long do_stat(int side, const struct operation *o, struct result *result)
{
	struct stat info;

	(void)side;
	if (fstatat(AT_FDCWD, o->path, &info, o->flags & 1 ? AT_SYMLINK_NOFOLLOW : 0))
		return -1;
	put_stat(&info, result);
	return 0;
}

static long do_list(int side, const struct operation *o, struct result *result)
{
	DIR *stream = opendir(o->path);
	long count = 0;

	(void)side;
	if (!stream)
		return -1;
	for (struct dirent *entry; (entry = readdir(stream)); count++) {
		uint64_t type = entry->d_type;

		/* A sum: the order is the file system's. */
		result->hash += hash_bytes(type, entry->d_name, strlen(entry->d_name));
	}
	closedir(stream);
	return count;
}

#define SIMPLE(name, call)                                                           \
	static long name(int side, const struct operation *o, struct result *result) \
	{                                                                            \
		(void)side;                                                          \
		(void)result;                                                        \
		return call;                                                         \
	}

SIMPLE(do_mkdir, mkdir(o->path, o->mode))
SIMPLE(do_rmdir, rmdir(o->path))
SIMPLE(do_unlink, unlink(o->path))
SIMPLE(do_link, link(o->path, o->other))
SIMPLE(do_symlink, symlink(o->other, o->path))
SIMPLE(do_rename, rename(o->path, o->other))
SIMPLE(do_rename2, renameat2(AT_FDCWD, o->path, AT_FDCWD, o->other, 1u << o->fill % 3))
SIMPLE(do_mknod, mknod(o->path,
		       (o->fill & 1   ? S_IFIFO
			: o->fill & 2 ? S_IFSOCK
				      : S_IFREG) |
			       o->mode,
		       0))
SIMPLE(do_chmod, chmod(o->path, o->mode))
SIMPLE(do_fchmod, fchmod(file(side, o), o->mode))
SIMPLE(do_chown, fchownat(AT_FDCWD, o->path, o->fill & 1 ? (uid_t)o->times[0] : ~0u,
			  (gid_t)o->times[1], o->flags & 1 ? AT_SYMLINK_NOFOLLOW : 0))
SIMPLE(do_access, faccessat(AT_FDCWD, o->path, o->fill & 7, AT_EACCESS))
SIMPLE(do_umask, (umask(o->mode & 0777), 0))
SIMPLE(do_readlink, hashed(readlink(o->path, (char *)buffer, sizeof(buffer)), result))

static struct timespec time_of(int64_t drawn)
{
	/* In the past, so that the trees' comparison knows it from one of the run. */
	if (drawn % 8 == 0)
		return (struct timespec){0, UTIME_OMIT};
	if (drawn % 8 == 1)
		return (struct timespec){0, UTIME_NOW};
	return (struct timespec){drawn % 900000000, drawn * 7919 % 1000000000};
}

static long do_utimens(int side, const struct operation *o, struct result *result)
{
	struct timespec times[2] = {time_of(o->times[0]), time_of(o->times[1])};

	(void)side;
	(void)result;
	return utimensat(AT_FDCWD, o->path, times, o->flags & 1 ? AT_SYMLINK_NOFOLLOW : 0);
}

static const char *attribute(const struct operation *o)
{
	static const char *const names[] = {"user.one", "user.two", "trusted.one", "security.one"};

	return names[o->slot % 4];
}

static long do_setxattr(int side, const struct operation *o, struct result *result)
{
	(void)side;
	(void)result;
	memset(buffer, o->fill, o->size % 500);
	return lsetxattr(o->path, attribute(o), buffer, o->size % 500, (int)(o->flags % 3));
}

SIMPLE(do_getxattr, hashed(lgetxattr(o->path, attribute(o), buffer, o->size), result))
SIMPLE(do_removexattr, lremovexattr(o->path, attribute(o)))

static long do_listxattr(int side, const struct operation *o, struct result *result)
{
	ssize_t size = llistxattr(o->path, (char *)buffer, sizeof(buffer));

	(void)side;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen((char *)buffer + at) + 1)
		result->hash += hash_bytes(1, buffer + at, strlen((char *)buffer + at));
	return size;
}

/* An access control list for uid 1000 and gid 50, by the layout of posix_acl_xattr.h. */
static long do_setacl(int side, const struct operation *o, struct result *result)
{
	uint16_t bits = o->mode & 7, mask = o->mode >> 3 & 7;
	struct {
		uint32_t version;
		struct {
			uint16_t tag, bits;
			uint32_t id;
		} entries[6];
	} list = {2,
		  {{1, o->mode >> 6 & 7, ~0u},
		   {2, bits, 1000},
		   {4, bits ^ 5, ~0u},
		   {8, bits ^ 2, 50},
		   {16, mask, ~0u},
		   {32, o->fill & 7, ~0u}}};
	const char *name = o->slot & 1 ? "system.posix_acl_access" : "system.posix_acl_default";

	(void)side;
	(void)result;
	if (o->slot & 2)
		return removexattr(o->path, name);
	return setxattr(o->path, name, &list, sizeof(list), 0);
}

const struct kind kinds[] = {
	{"open", 150, do_open, PATH | SLOT | MODE},
	{"close", 10, do_close, SLOT},
	{"write", 50, do_write, SLOT | RANGE | CHANGES},
	{"pwrite", 60, do_pwrite, SLOT | RANGE | CHANGES},
	{"read", 40, do_read, SLOT | RANGE},
	{"pread", 40, do_pread, SLOT | RANGE},
	{"lseek", 15, do_seek, SLOT | RANGE},
	{"mmap", 20, do_map, SLOT | RANGE},
	{"ftruncate", 20, do_ftruncate, SLOT | RANGE},
	{"truncate", 20, do_truncate, PATH | RANGE},
	{"fallocate", 20, do_fallocate, SLOT | RANGE},
	{"copy_file_range", 20, do_copy, SLOT | RANGE},
	{"fsync", 5, do_fsync, SLOT},
	{"fstat", 30, do_fstat, SLOT},
	{"stat", 60, do_stat, PATH},
	{"list", 20, do_list, PATH},
	{"mkdir", 60, do_mkdir, PATH | MODE | CHANGES},
	{"rmdir", 40, do_rmdir, PATH},
	{"unlink", 70, do_unlink, PATH | CHANGES},
	{"link", 50, do_link, PATH | OTHER | CHANGES},
	{"symlink", 25, do_symlink, PATH | OTHER | CHANGES},
	{"rename", 60, do_rename, PATH | OTHER},
	{"renameat2", 40, do_rename2, PATH | OTHER},
	{"mknod", 20, do_mknod, PATH | MODE | CHANGES},
	{"chmod", 50, do_chmod, PATH | MODE},
	{"fchmod", 20, do_fchmod, SLOT | MODE},
	{"chown", 40, do_chown, PATH},
	{"access", 30, do_access, PATH},
	{"umask", 3, do_umask, MODE},
	{"readlink", 15, do_readlink, PATH},
	{"utimensat", 40, do_utimens, PATH},
	{"setxattr", 40, do_setxattr, PATH | SLOT | RANGE},
	{"getxattr", 25, do_getxattr, PATH | SLOT | RANGE},
	{"removexattr", 15, do_removexattr, PATH | SLOT},
	{"listxattr", 15, do_listxattr, PATH},
	{"setacl", 20, do_setacl, PATH | SLOT | MODE},
};

const int kind_count = sizeof(kinds) / sizeof(*kinds);

struct result perform(int side, const struct operation *o)
{
	struct result result = {0, 0, 0};
	gid_t group = 50;

	if (!files_ready) {
		memset(files, 0, sizeof(files));
		files_ready = 1;
	}
	if (fchdir(roots[side]))
		abort();
	/* Raw: the library would change all threads, of which there is one. */
	if (o->uid &&
	    (syscall(SYS_setgroups, o->uid == 1000 ? 1 : 0, &group) ||
	     syscall(SYS_setresgid, -1, o->gid, -1) || syscall(SYS_setresuid, -1, o->uid, -1)))
		abort();
	errno = 0;
	result.value = kinds[o->kind].perform(side, o, &result);
	result.error = result.value < 0 ? errno : 0;
	if (o->uid && (syscall(SYS_setresuid, -1, 0, -1) || syscall(SYS_setresgid, -1, 0, -1) ||
		       syscall(SYS_setgroups, 0, &group)))
		abort();
	return result;
}
