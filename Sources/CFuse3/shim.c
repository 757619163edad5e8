#define _GNU_SOURCE
#include "CFuse3.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_log.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct cfuse3_inval_inode) ==
		       sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_inode_out),
	       "the same message");
_Static_assert(offsetof(struct cfuse3_inval_entry, name) ==
		       sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_entry_out),
	       "the same message");
_Static_assert(sizeof(struct cfuse3_inc_epoch) == sizeof(struct fuse_out_header), "a header alone");

struct cfuse3_inval_inode cfuse3_inval_inode_message(uint64_t node, int pages)
{
	return (struct cfuse3_inval_inode){
		.length = sizeof(struct cfuse3_inval_inode),
		.code = FUSE_NOTIFY_INVAL_INODE,
		.node = node,
		/* From 0 on, 0 bytes: all pages. Below 0: none. */
		.offset = pages ? 0 : -1,
	};
}

struct cfuse3_inval_entry cfuse3_inval_entry_message(uint64_t parent, const char *name)
{
	struct cfuse3_inval_entry message = {
		.code = FUSE_NOTIFY_INVAL_ENTRY,
		.parent = parent,
		.name_length = strnlen(name, CFUSE3_NAME_MAX - 1),
	};

	memcpy(message.name, name, message.name_length);
	message.length = offsetof(struct cfuse3_inval_entry, name) + message.name_length + 1;
	return message;
}

struct cfuse3_inc_epoch cfuse3_inc_epoch_message(void)
{
	return (struct cfuse3_inc_epoch){
		.length = sizeof(struct cfuse3_inc_epoch), .code = 8, /* FUSE_NOTIFY_INC_EPOCH */
	};
}

struct fuse_args cfuse3_args(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	return args;
}

struct fuse_session *cfuse3_session_new(struct fuse_args *args,
					const struct fuse_lowlevel_ops *operations,
					size_t operations_size, void *userdata)
{
	return fuse_session_new(args, operations, operations_size, userdata);
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

/* Set from INIT to its reply, which libfuse sends on the same thread. */
static _Thread_local uint32_t init_flags;

void cfuse3_add_init_flags(uint32_t flags)
{
	init_flags = flags;
}

static ssize_t channel_writev(int fd, struct iovec *vector, int count, void *userdata)
{
	(void)userdata;
	if (init_flags && count == 2 && vector[1].iov_len >= sizeof(struct fuse_init_out)) {
		struct fuse_init_out *reply = vector[1].iov_base;

		reply->flags |= init_flags;
		init_flags = 0;
	}
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

static cfuse3_ended connection_ended;

/*
 * libfuse cancels its threads while they receive. After an error that it does not retry, it writes
 * a message there, too: a thread that is cancelled in it would keep the lock of stderr, on which
 * the daemon then waits for ever. Nor must it unwind through Swift. So cancellation stays off;
 * libfuse turns it on for the next receive.
 */
static ssize_t device_received(ssize_t result, void *userdata)
{
	int error = errno;

	if (result >= 0 || error == EINTR || error == EAGAIN || error == ENOENT)
		return result;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (error == ENODEV || error == ECONNABORTED)
		connection_ended(userdata);
	errno = error;
	return result;
}

static ssize_t device_read(int fd, void *buffer, size_t size, void *userdata)
{
	return device_received(read(fd, buffer, size), userdata);
}

static ssize_t device_splice_receive(int in, off_t *in_offset, int out, off_t *out_offset,
				     size_t size, unsigned flags, void *userdata)
{
	return device_received(splice(in, in_offset, out, out_offset, size, flags), userdata);
}

static ssize_t device_splice_send(int in, off_t *in_offset, int out, off_t *out_offset, size_t size,
				  unsigned flags, void *userdata)
{
	(void)userdata;
	return splice(in, in_offset, out, out_offset, size, flags);
}

int cfuse3_tell_end(struct fuse_session *session, cfuse3_ended ended)
{
	const struct fuse_custom_io io = {
		.read = device_read,
		.writev = channel_writev,
		.splice_receive = device_splice_receive,
		.splice_send = device_splice_send,
	};
	connection_ended = ended;
	return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

int cfuse3_leave_mount(struct fuse_session *session)
{
	int ends[2], result;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	/* A pipe without a reader polls as broken. */
	close(ends[0]);
	result = dup3(ends[1], fuse_session_fd(session), O_CLOEXEC);
	close(ends[1]);
	return result < 0 ? -1 : 0;
}

static _Thread_local fuse_req_t current_request;

void cfuse3_set_request(fuse_req_t request)
{
	current_request = request;
}

/* SIGKILL is pending for a thread that any signal is about to end: complete_signal of
 * kernel/signal.c. */
int cfuse3_is_ending(pid_t thread)
{
	unsigned long long pending = 0, mask;
	char path[64], line[256];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	status = fopen(path, "re");
	/* Gone; or hidden, and then nothing is known. */
	if (!status)
		return kill(thread, 0) && errno == ESRCH;
	while (fgets(line, sizeof(line), status)) {
		if (sscanf(line, "SigPnd: %llx", &mask) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &mask) == 1)
			pending |= mask;
	}
	fclose(status);
	return pending >> (SIGKILL - 1) & 1;
}

int cfuse3_caller_ends(void)
{
	if (!current_request || !fuse_req_interrupted(current_request))
		return 0;
	return cfuse3_is_ending(fuse_req_ctx(current_request)->pid);
}

int cfuse3_loop(struct fuse_session *session, unsigned max_threads, unsigned max_idle,
		unsigned clone_fd)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, max_threads);
	fuse_loop_cfg_set_idle_threads(config, max_idle);
	fuse_loop_cfg_set_clone_fd(config, clone_fd);
	int result = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return result;
}
