// SPDX-License-Identifier: Apache-2.0
/*
 * Counts the requests that reach passthrough_ll, without a change to its source: linked with
 * -Wl,--wrap=fuse_reply_X for every function X below, each reply passes here first.
 *
 * The count is index 0 of a file of 64 u64, mapped shared, named by $PASSTHROUGH_REQUESTS_FILE: the
 * form of shortfuse's own requests file. A reply does not know its opcode, so 1 .. 63 stay 0. What
 * libfuse answers by itself (INIT, and operations that the example lacks) is not counted; both come
 * once per mount.
 *
 * It costs one uncontended atomic addition per request.
 */
#define FUSE_USE_VERSION 34

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SLOTS = 64
};

static _Atomic uint64_t uncounted;
static _Atomic uint64_t *requests = &uncounted;

/* Before main, so that the mapping is there before the daemon forks; MAP_SHARED survives that. */
__attribute__((constructor)) static void map_requests(void)
{
	const char *path = getenv("PASSTHROUGH_REQUESTS_FILE");
	const size_t size = SLOTS * sizeof(*requests);
	void *map;
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		fprintf(stderr, "passthrough_ll: %s: %m\n", path);
		exit(1);
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "passthrough_ll: mmap of %s: %m\n", path);
		exit(1);
	}
	close(fd);
	requests = map;
}

/* Counted before the reply goes out: whoever has seen the reply sees the count. */
#define COUNTED(result, name, parameters, ...)                                \
	result __real_fuse_reply_##name parameters;                           \
	result __wrap_fuse_reply_##name parameters;                           \
	result __wrap_fuse_reply_##name parameters                            \
	{                                                                     \
		atomic_fetch_add_explicit(requests, 1, memory_order_relaxed); \
		return __real_fuse_reply_##name(__VA_ARGS__);                 \
	}

/* The Makefile reads the names to wrap from these lines. */
COUNTED(int, err, (fuse_req_t req, int err), req, err)
COUNTED(void, none, (fuse_req_t req), req)
COUNTED(int, entry, (fuse_req_t req, const struct fuse_entry_param *e), req, e)
COUNTED(int, create,
	(fuse_req_t req, const struct fuse_entry_param *e, const struct fuse_file_info *fi), req, e,
	fi)
COUNTED(int, attr, (fuse_req_t req, const struct stat *attr, double timeout), req, attr, timeout)
COUNTED(int, readlink, (fuse_req_t req, const char *link), req, link)
COUNTED(int, open, (fuse_req_t req, const struct fuse_file_info *fi), req, fi)
COUNTED(int, write, (fuse_req_t req, size_t count), req, count)
COUNTED(int, buf, (fuse_req_t req, const char *buf, size_t size), req, buf, size)
COUNTED(int, data, (fuse_req_t req, struct fuse_bufvec *bufv, enum fuse_buf_copy_flags flags), req,
	bufv, flags)
COUNTED(int, iov, (fuse_req_t req, const struct iovec *iov, int count), req, iov, count)
COUNTED(int, statfs, (fuse_req_t req, const struct statvfs *stbuf), req, stbuf)
COUNTED(int, xattr, (fuse_req_t req, size_t count), req, count)
COUNTED(int, lock, (fuse_req_t req, const struct flock *lock), req, lock)
COUNTED(int, bmap, (fuse_req_t req, uint64_t idx), req, idx)
COUNTED(int, ioctl, (fuse_req_t req, int result, const void *buf, size_t size), req, result, buf,
	size)
COUNTED(int, poll, (fuse_req_t req, unsigned int revents), req, revents)
COUNTED(int, lseek, (fuse_req_t req, off_t off), req, off)
