// SPDX-License-Identifier: Apache-2.0
/*
 * Counts the requests that any FUSE daemon answers, without a change to it: preloaded, it sees each
 * write to /dev/fuse, of which a reply takes one. Not of a program that makes its system calls
 * without the C library (Go).
 *
 * The count is index 0 of a file of 64 u64, mapped shared, named by $FUSE_REQUESTS_FILE: the form
 * of shortfuse's own requests file. INIT is counted, and what the daemon tells the kernel by
 * itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	SLOTS = 64,
	FUSE_MAJOR = 10, /* misc devices */
	FUSE_MINOR = 229
};

static _Atomic uint64_t uncounted;
static _Atomic uint64_t *requests = &uncounted;

/* Before main, so that the mapping is there before the daemon forks. */
__attribute__((constructor)) static void map_requests(void)
{
	const char *path = getenv("FUSE_REQUESTS_FILE");
	const size_t size = SLOTS * sizeof(*requests);
	void *map;
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		requests = map;
}

/* Counted before the reply goes out: whoever has seen the reply sees the count. */
static void count(int fd)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
	    status.st_rdev == makedev(FUSE_MAJOR, FUSE_MINOR))
		atomic_fetch_add_explicit(requests, 1, memory_order_relaxed);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *from, size_t size)
{
	static __typeof__(&write) next;

	if (!next)
		next = NEXT(write);
	count(fd);
	return next(fd, from, size);
}

ssize_t writev(int fd, const struct iovec *from, int parts)
{
	static __typeof__(&writev) next;

	if (!next)
		next = NEXT(writev);
	count(fd);
	return next(fd, from, parts);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size,
	       unsigned int flags)
{
	static __typeof__(&splice) next;

	if (!next)
		next = NEXT(splice);
	count(out);
	return next(in, in_offset, out, out_offset, size, flags);
}
