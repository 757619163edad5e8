#ifndef CFUSE3_H
#define CFUSE3_H

/* The low-level API of libfuse 3.14; the library insists on a version before its headers. */
#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

/*
 * fuse_args from `argc` arguments that the caller keeps alive. FUSE_ARGS_INIT is a compound
 * literal in a macro, which Swift does not import.
 */
struct fuse_args cfuse3_args(int argc, char **argv);

/*
 * A vector of one buffer that is `size` bytes of `fd` from `offset` on. FUSE_BUFVEC_INIT is a macro
 * and the flag constants are an anonymous enum of another type than the field.
 */
struct fuse_bufvec cfuse3_descriptor_bufvec(int fd, off_t offset, size_t size);

/* The memory of a vector that is exactly one memory buffer from its start, else NULL. */
const void *cfuse3_memory(const struct fuse_bufvec *vector, size_t *size);

/*
 * The message by which the kernel drops all pages of `node`: struct fuse_out_header and struct
 * fuse_notify_inval_inode_out of <linux/fuse.h>, which libfuse's headers do not include.
 */
struct cfuse3_inval_inode {
	uint32_t length;
	int32_t code;
	uint64_t unique;
	uint64_t node;
	int64_t offset;
	int64_t size;
};
struct cfuse3_inval_inode cfuse3_inval_inode_message(uint64_t node);

/* Receives each message of libfuse, formatted, without its newline. `level`: syslog(3) numbers. */
typedef void (*cfuse3_log_sink)(int level, const char *message);

/* fuse_set_log_func hands out a va_list, which a Swift function cannot receive as a C callback. */
void cfuse3_set_log_sink(cfuse3_log_sink sink);

/*
 * Serves `session` from the socket `fd` instead of /dev/fuse. In C because libfuse cancels its
 * threads inside the read, and a cancellation must not unwind through Swift frames. End of file is
 * told as ENODEV, which is how /dev/fuse says "unmounted".
 */
int cfuse3_use_channel(struct fuse_session *session, int fd);

/* fuse_session_loop_mt is a macro over a versioned symbol; the config type is opaque. */
int cfuse3_loop(struct fuse_session *session, unsigned max_threads, unsigned clone_fd);

#endif
