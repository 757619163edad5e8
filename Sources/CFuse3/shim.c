#define _GNU_SOURCE
#include "CFuse3.h"

#include <errno.h>
#include <fuse3/fuse_log.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct cfuse3_inval_inode) ==
		       sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_inode_out),
	       "the same message");

struct cfuse3_inval_inode cfuse3_inval_inode_message(uint64_t node)
{
	return (struct cfuse3_inval_inode){
		.length = sizeof(struct cfuse3_inval_inode),
		.code = FUSE_NOTIFY_INVAL_INODE,
		/* From 0 on, 0 bytes: all. */
		.node = node,
	};
}

struct fuse_args cfuse3_args(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	return args;
}

struct fuse_bufvec cfuse3_descriptor_bufvec(int fd, off_t offset, size_t size)
{
	struct fuse_bufvec vector = FUSE_BUFVEC_INIT(size);
	vector.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	vector.buf[0].fd = fd;
	vector.buf[0].pos = offset;
	return vector;
}

const void *cfuse3_memory(const struct fuse_bufvec *vector, size_t *size)
{
	if (vector->count != 1 || vector->idx != 0 || vector->off != 0 ||
	    (vector->buf[0].flags & FUSE_BUF_IS_FD))
		return NULL;
	*size = vector->buf[0].size;
	return vector->buf[0].mem;
}

static cfuse3_log_sink log_sink;

static void log_formatted(enum fuse_log_level level, const char *format, va_list arguments)
{
	/* Some messages come in pieces; a newline ends one. */
	static _Thread_local char message[1024];
	static _Thread_local size_t used;
	int length = vsnprintf(message + used, sizeof(message) - used, format, arguments);

	if (length < 0)
		return;
	used += (size_t)length;
	if (used >= sizeof(message))
		used = sizeof(message) - 1;
	else if (used == 0 || message[used - 1] != '\n')
		return;
	while (used > 0 && message[used - 1] == '\n')
		used--;
	message[used] = 0;
	used = 0;
	log_sink((int)level, message);
}

void cfuse3_set_log_sink(cfuse3_log_sink sink)
{
	log_sink = sink;
	fuse_set_log_func(sink ? log_formatted : NULL);
}

static ssize_t channel_read(int fd, void *buffer, size_t size, void *userdata)
{
	(void)userdata;
	ssize_t count = read(fd, buffer, size);

	if (count == 0) {
		errno = ENODEV;
		return -1;
	}
	return count;
}

static ssize_t channel_writev(int fd, struct iovec *vector, int count, void *userdata)
{
	(void)userdata;
	return writev(fd, vector, count);
}

int cfuse3_use_channel(struct fuse_session *session, int fd)
{
	const struct fuse_custom_io io = {
		.read = channel_read,
		.writev = channel_writev,
	};
	return fuse_session_custom_io(session, &io, fd);
}

int cfuse3_loop(struct fuse_session *session, unsigned max_threads, unsigned clone_fd)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, max_threads);
	fuse_loop_cfg_set_clone_fd(config, clone_fd);
	int result = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return result;
}
