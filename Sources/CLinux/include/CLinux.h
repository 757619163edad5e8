#ifndef CLINUX_H
#define CLINUX_H

/*
 * What glibc declares only under _GNU_SOURCE, or not at all, plus calls that Swift cannot make
 * (variadic). Defining _GNU_SOURCE in a module's header breaks clean builds, so the values are
 * spelled out here and checked in CLinux.c.
 */
#include <stddef.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>

enum {
	LINUX_O_PATH = 010000000,
	LINUX_O_DIRECT = 040000,
	LINUX_O_NOATIME = 01000000,
	LINUX_AT_EMPTY_PATH = 0x1000,
	LINUX_AT_NO_AUTOMOUNT = 0x800,
	LINUX_AT_STATX_DONT_SYNC = 0x4000,
	LINUX_RENAME_NOREPLACE = 1,
	LINUX_RENAME_EXCHANGE = 2,
	LINUX_RENAME_WHITEOUT = 4,
	/* FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */
	LINUX_FALLOC_PUNCH = 3,
	LINUX_SEEK_DATA = 3,
};

/* struct file_handle of open_by_handle_at(2) with the longest handle there is. */
enum {
	LINUX_HANDLE_SIZE = 8 + 128
};

/* UTIME_NOW and UTIME_OMIT are casts in macros, which Swift does not import. */
enum {
	LINUX_UTIME_NOW = 0x3fffffff,
	LINUX_UTIME_OMIT = 0x3ffffffe,
};

/* Requests of ioctl_iflags(2) and <linux/fs.h>: macros over sizeof, which Swift does not import. */
enum {
	LINUX_FS_IOC_GETFLAGS = 0x80086601,
	LINUX_FS_IOC_SETFLAGS = 0x40086602,
	LINUX_FS_IOC_FSGETXATTR = 0x801c581f,
	LINUX_FS_IOC_FSSETXATTR = 0x401c5820,
};

/*
 * struct linux_dirent64 of getdents64(2), under a name of its own: glibc's struct dirent64 is only
 * there with _GNU_SOURCE. The name follows the header, NUL-terminated.
 */
struct linux_directory_entry {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};
enum {
	LINUX_DIRENT_NAME_OFFSET = 19
};

/* openat(2) is variadic. */
int linux_openat(int fd, const char *path, int flags, mode_t mode);
int linux_renameat2(int old_fd, const char *old_name, int new_fd, const char *new_name,
		    unsigned flags);
ssize_t linux_getdents64(int fd, void *buffer, size_t size);
/* pwritev2(2) with RWF_APPEND (Linux 4.16): writes at the end of the file. */
ssize_t linux_append(int fd, const void *buffer, size_t size);
int linux_fallocate(int fd, int mode, off_t offset, off_t length);
ssize_t linux_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
			      unsigned flags);

/*
 * name_to_handle_at(2) of what `fd`, O_PATH or not, stands for: struct file_handle, which has no
 * size of its own in Swift, into LINUX_HANDLE_SIZE bytes; how many of them it uses, or -1.
 */
int linux_handle_of(int fd, void *handle, int *mount_id);
/* open_by_handle_at(2); only under _GNU_SOURCE. */
int linux_open_by_handle(int mount_fd, void *handle, int flags);

/*
 * A mount of only what `fd`, O_PATH or not, stands for, on which times of access do not move:
 * open_tree(2) and mount_setattr(2), only under _GNU_SOURCE. It is attached nowhere, and goes with
 * the descriptor that is returned. -1 and errno: needs CAP_SYS_ADMIN.
 */
int linux_clone_without_access_times(int fd);

/*
 * Has the mount at `path` follow no symbolic links (mount_setattr(2), Linux 5.14; only under
 * _GNU_SOURCE). 0 or -1 and errno.
 */
int linux_forbid_symlinks(const char *path);

/* posix_spawn_file_actions_addclosefrom_np(3), only under _GNU_SOURCE. */
int linux_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

/* setns(2) with CLONE_NEWNS, only under _GNU_SOURCE. 0 or -1 and errno. */
int linux_enter_mount_namespace(int fd);

/* f_fsid of statfs(2): a struct whose fields have no names in Swift. 0 or -1 and errno. */
int linux_file_system_id(int fd, uint64_t *id);

/* f_type of statfs(2): <sys/vfs.h> is no part of Swift's Glibc. 0 or -1 and errno. */
int linux_file_system_type(const char *path, uint64_t *type);

/*
 * Gives the calling thread a descriptor table of its own, with `fd` alone in it. In C because
 * unshare(2) and close_range(2) are declared under _GNU_SOURCE only. 0 or -1 and errno.
 */
int linux_keep_only_descriptor(int fd);

/* memfd_create(2), closed by execve(2); only under _GNU_SOURCE. */
int linux_memory_file(const char *name);

/* ioctl(2) is variadic. */
int linux_ioctl(int fd, unsigned long request, void *argument);

/* Sets the calling thread's file system ids (setfsuid(2)); 0, or -EPERM if refused. */
int linux_set_fs_ids(uid_t uid, gid_t gid);
/* The same for the process's own ids, which cannot be refused. */
void linux_reset_fs_ids(uid_t uid, gid_t gid);

/* setgroups(2) for the calling thread alone; 0 or -1. */
int linux_set_thread_groups(size_t count, const gid_t groups[]);
/* The calling thread's effective capabilities (capget(2)); 0 or -1 and errno. */
int linux_effective_capabilities(uint64_t *effective);
/*
 * Makes `effective` the calling thread's effective capabilities, leaves the other sets. Raw,
 * because glibc has no wrapper and libcap's applies to one thread only by the same call.
 */
int linux_set_effective_capabilities(uint64_t effective);

/*
 * Leaves the calling thread, and the threads and programs that it starts, the capabilities `kept`
 * and no others, in all five sets, and sets no_new_privs (prctl(2) is variadic). The bounding set
 * stays where the thread has no CAP_SETPCAP: no_new_privs keeps an execve(2) from gaining any of
 * it. What is permitted then is in `*permitted`. 0 or -1 and errno.
 */
int linux_limit_capabilities(uint64_t kept, uint64_t *permitted);

/*
 * Gives the calling thread a umask of its own and sets it; 0 or -1 and errno. Thread-local storage,
 * which spares the calls where nothing changes, is not expressible in Swift.
 */
int linux_set_thread_umask(mode_t mask);

/* Names the calling thread (pthread_setname_np(3), under _GNU_SOURCE only): 15 bytes of it count.
 */
void linux_name_thread(const char *name);

/* st_dev of what `path` names, from the kernel's memory: asks no file system. 0 or -1 and errno. */
int linux_device_of(const char *path, dev_t *device);
/* makedev(3), a macro. */
dev_t linux_make_device(unsigned major, unsigned minor);
unsigned linux_device_minor(dev_t device);
/* As the kernel itself numbers it, and prints in some files of /proc. */
unsigned linux_kernel_device(dev_t device);

/*
 * An open directory of the FUSE control file system, whether or not it is mounted anywhere
 * (fsopen(2), fsmount(2): the headers of older glibc have none). The descriptor, or -1 and errno.
 */
int linux_open_fuse_control(void);

/* Rows and columns of the terminal `fd` (TIOCGWINSZ; ioctl(2) is variadic). 0 or -1 and errno. */
int linux_terminal_size(int fd, unsigned short *rows, unsigned short *columns);

/*
 * A page-aligned buffer of at least `size` bytes, kept by the calling thread until it ends; one per
 * `slot` (0 or 1). NULL if there is no memory. Thread-local storage with a destructor is not
 * expressible in Swift.
 */
void *linux_thread_buffer(unsigned slot, size_t size);

#endif
