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

/* fuse_session_new is a macro since libfuse 3.17. */
struct fuse_session *cfuse3_session_new(struct fuse_args *args,
					const struct fuse_lowlevel_ops *operations,
					size_t operations_size, void *userdata);

/*
 * A vector of one buffer that is `size` bytes of `fd` from `offset` on. FUSE_BUFVEC_INIT is a macro
 * and the flag constants are an anonymous enum of another type than the field.
 */
struct fuse_bufvec cfuse3_descriptor_bufvec(int fd, off_t offset, size_t size);

/* The memory of a vector that is exactly one memory buffer from its start, else NULL. */
const void *cfuse3_memory(const struct fuse_bufvec *vector, size_t *size);

/*
 * Messages by which the kernel drops what it has in its own caches: struct fuse_out_header and what
 * follows it in <linux/fuse.h>, which libfuse's headers do not include.
 */
struct cfuse3_inval_inode {
	uint32_t length;
	int32_t code;
	uint64_t unique;
	uint64_t node;
	int64_t offset;
	int64_t size;
};
/* The attributes and access control lists of `node`; with `pages` also its pages or its listing. */
struct cfuse3_inval_inode cfuse3_inval_inode_message(uint64_t node, int pages);

/* The longest name, with its NUL. */
enum {
	CFUSE3_NAME_MAX = 256
};
struct cfuse3_inval_entry {
	uint32_t length; /* what of this struct is to be written */
	int32_t code;
	uint64_t unique;
	uint64_t parent;
	uint32_t name_length;
	uint32_t flags;
	char name[CFUSE3_NAME_MAX];
};
/* The name `name` in `parent`. Longer names than a file system can have are cut. */
struct cfuse3_inval_entry cfuse3_inval_entry_message(uint64_t parent, const char *name);

/* All names (FUSE_NOTIFY_INC_EPOCH, protocol 7.44): newer than the headers of Debian 12. */
struct cfuse3_inc_epoch {
	uint32_t length;
	int32_t code;
	uint64_t unique;
};
struct cfuse3_inc_epoch cfuse3_inc_epoch_message(void);

/*
 * Drops what the kernel keeps of the root and of all nodes in the file `nodes`, one bit each, with
 * the lowest first. With `pages` also their pages, for which it may have to wait. -1: there is no
 * such mount. In C for the guardian, which has no Swift.
 */
int cfuse3_drop_nodes(int device, int nodes, int pages);

/* What a guardian is given: descriptors from CFUSE3_GUARDIAN_FIRST on; `abort` may be -1. */
enum {
	CFUSE3_GUARDIAN_FIRST = 7
};
struct cfuse3_guardian {
	/* /dev/fuse of the mount. */
	int device;
	/* As above. */
	int nodes;
	/* The connection's file of this name in the control file system. */
	int abort;
	const char *mountpoint;
	/* Its st_dev, in decimal. */
	const char *number;
};
/*
 * Starts this program as a guardian, and waits until it is there. It does its work when the other
 * end of `line` is closed, or sends no more. Returns its process; -1 with errno.
 */
pid_t cfuse3_start_guardian(const struct cfuse3_guardian *guardian, int *line);

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

/*
 * Calls `ended` with the session's userdata, on the first thread that reads from /dev/fuse that the
 * connection has ended: libfuse itself tells nobody until all its threads are done. To be called
 * when the session is mounted. In C for the same reason.
 */
typedef void (*cfuse3_ended)(void *userdata);
int cfuse3_tell_end(struct fuse_session *session, cfuse3_ended ended);

/*
 * Adds flags to the reply to INIT, from its callback: libfuse knows FUSE_CAP_PARALLEL_DIROPS and
 * never tells the kernel (do_init of lib/fuse_lowlevel.c, 3.14), which then looks one name up at a
 * time in each directory.
 */
void cfuse3_add_init_flags(uint32_t flags);

/*
 * Closes the device, and has fuse_session_unmount leave the mountpoint as it is: by itself it
 * unmounts whatever is there, unless the device polls as broken. 0 or -1 and errno.
 */
int cfuse3_leave_mount(struct fuse_session *session);

/*
 * The request that the calling thread serves, and whether its caller is about to end: the kernel
 * has sent an INTERRUPT for it, as for any signal, and the signal is one that ends the caller.
 * Where its process cannot be seen, any signal counts. Thread-local storage, which Swift has not.
 */
void cfuse3_set_request(fuse_req_t request);
int cfuse3_caller_ends(void);
/* The same of a thread, whatever was sent for its request. */
int cfuse3_is_ending(pid_t thread);

/* fuse_session_loop_mt is a macro over a versioned symbol; the config type is opaque. */
int cfuse3_loop(struct fuse_session *session, unsigned max_threads, unsigned max_idle,
		unsigned clone_fd);

#endif
