#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

_Static_assert(LINUX_O_PATH == O_PATH, "");
_Static_assert(LINUX_O_DIRECT == O_DIRECT, "");
_Static_assert(LINUX_O_NOATIME == O_NOATIME, "");
_Static_assert(LINUX_AT_EMPTY_PATH == AT_EMPTY_PATH, "");
_Static_assert(LINUX_AT_NO_AUTOMOUNT == AT_NO_AUTOMOUNT, "");
_Static_assert(LINUX_AT_STATX_DONT_SYNC == AT_STATX_DONT_SYNC, "");
_Static_assert(LINUX_RENAME_NOREPLACE == RENAME_NOREPLACE, "");
_Static_assert(LINUX_RENAME_EXCHANGE == RENAME_EXCHANGE, "");
_Static_assert(LINUX_RENAME_WHITEOUT == RENAME_WHITEOUT, "");
_Static_assert(LINUX_FALLOC_PUNCH == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), "");
_Static_assert(LINUX_SEEK_DATA == SEEK_DATA, "");
_Static_assert(LINUX_UTIME_NOW == UTIME_NOW, "");
_Static_assert(LINUX_UTIME_OMIT == UTIME_OMIT, "");
_Static_assert(LINUX_HANDLE_SIZE == sizeof(struct file_handle) + MAX_HANDLE_SZ, "");
_Static_assert(LINUX_FS_IOC_GETFLAGS == FS_IOC_GETFLAGS, "");
_Static_assert(LINUX_FS_IOC_SETFLAGS == FS_IOC_SETFLAGS, "");
_Static_assert(LINUX_FS_IOC_FSGETXATTR == FS_IOC_FSGETXATTR, "");
_Static_assert(LINUX_FS_IOC_FSSETXATTR == FS_IOC_FSSETXATTR, "");
_Static_assert(LINUX_DIRENT_NAME_OFFSET == offsetof(struct dirent64, d_name), "");
_Static_assert(LINUX_DIRENT_NAME_OFFSET == offsetof(struct linux_directory_entry, d_name), "");

int linux_openat(int fd, const char *path, int flags, mode_t mode)
{
	return openat(fd, path, flags, mode);
}

int linux_renameat2(int old_fd, const char *old_name, int new_fd, const char *new_name,
		    unsigned flags)
{
	return renameat2(old_fd, old_name, new_fd, new_name, flags);
}

ssize_t linux_getdents64(int fd, void *buffer, size_t size)
{
	return getdents64(fd, buffer, size);
}

ssize_t linux_append(int fd, const void *buffer, size_t size)
{
	/* writev(2) only reads what iov_base points to. */
	struct iovec part = {.iov_base = (void *)buffer, .iov_len = size};

	return pwritev2(fd, &part, 1, 0, RWF_APPEND);
}

int linux_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fallocate(fd, mode, offset, length);
}

ssize_t linux_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
			      unsigned flags)
{
	return copy_file_range(in, in_offset, out, out_offset, length, flags);
}

int linux_handle_of(int fd, void *handle, int *mount_id)
{
	struct file_handle *header = handle;

	header->handle_bytes = LINUX_HANDLE_SIZE - sizeof(*header);
	if (name_to_handle_at(fd, "", header, mount_id, AT_EMPTY_PATH))
		return -1;
	return (int)(sizeof(*header) + header->handle_bytes);
}

int linux_open_by_handle(int mount_fd, void *handle, int flags)
{
	return open_by_handle_at(mount_fd, handle, flags);
}

int linux_clone_without_access_times(int fd)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NOATIME,
		.attr_clr = MOUNT_ATTR__ATIME,
	};
	int error, clone = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (clone < 0)
		return -1;
	if (!mount_setattr(clone, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)))
		return clone;
	error = errno;
	close(clone);
	errno = error;
	return -1;
}

int linux_forbid_symlinks(const char *path)
{
	struct mount_attr change = {
		.attr_set = 0x00200000, /* MOUNT_ATTR_NOSYMFOLLOW */
	};

	return mount_setattr(AT_FDCWD, path, 0, &change, sizeof(change));
}

int linux_spawn_close_from(posix_spawn_file_actions_t *actions, int first)
{
	return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int linux_enter_mount_namespace(int fd)
{
	return setns(fd, CLONE_NEWNS);
}

int linux_file_system_id(int fd, uint64_t *id)
{
	struct statfs status;

	if (fstatfs(fd, &status))
		return -1;
	memcpy(id, &status.f_fsid, sizeof(*id));
	return 0;
}

int linux_file_system_type(const char *path, uint64_t *type)
{
	struct statfs status;

	if (statfs(path, &status))
		return -1;
	*type = (unsigned long)status.f_type;
	return 0;
}

int linux_keep_only_descriptor(int fd)
{
	unsigned number = fd;

	if (unshare(CLONE_FILES))
		return -1;
	if (number && close_range(0, number - 1, 0))
		return -1;
	return close_range(number + 1, ~0U, 0);
}

int linux_memory_file(const char *name)
{
	return memfd_create(name, MFD_CLOEXEC);
}

int linux_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument);
}

int linux_set_fs_ids(uid_t uid, gid_t gid)
{
	/* Neither call reports failure; asking with an invalid id returns the current one. */
	if ((gid_t)setfsgid((gid_t)-1) != gid) {
		setfsgid(gid);
		if ((gid_t)setfsgid((gid_t)-1) != gid)
			return -EPERM;
	}
	setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid ? 0 : -EPERM;
}

int linux_set_thread_groups(size_t count, const gid_t groups[])
{
	/* Not by the C library, which does it on all threads (POSIX). */
	return (int)syscall(SYS_setgroups, count, groups);
}

static int capabilities(long call, struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(call, &header, data);
}

int linux_effective_capabilities(uint64_t *effective)
{
	struct __user_cap_data_struct data[2];

	if (capabilities(SYS_capget, data))
		return -1;
	*effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	return 0;
}

int linux_set_effective_capabilities(uint64_t effective)
{
	/*
	 * The other two sets change once, before there is a thread that calls this: asked for once,
	 * and only on this thread.
	 */
	static _Thread_local bool is_known;
	static _Thread_local struct __user_cap_data_struct data[2];

	if (!is_known && capabilities(SYS_capget, data))
		return -1;
	is_known = true;
	data[0].effective = (uint32_t)effective;
	data[1].effective = (uint32_t)(effective >> 32);
	return capabilities(SYS_capset, data);
}

int linux_limit_capabilities(uint64_t kept, uint64_t *permitted)
{
	struct __user_cap_data_struct data[2];
	int number, word;

	/* First, since this needs a capability. EINVAL: one more than this kernel knows. */
	for (number = 0; number < 64; number++) {
		if (kept >> number & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) && errno != EPERM)
			break;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    capabilities(SYS_capget, data))
		return -1;
	for (word = 0; word < 2; word++) {
		data[word].permitted &= (uint32_t)(kept >> (32 * word));
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	*permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	if (capabilities(SYS_capset, data))
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int linux_set_thread_umask(mode_t mask)
{
	/* The umask is part of what clone(2) shares with CLONE_FS, as pthread_create does. */
	static _Thread_local bool has_own;
	static _Thread_local mode_t current;

	if (has_own && current == mask)
		return 0;
	if (!has_own && unshare(CLONE_FS))
		return -1;
	has_own = true;
	current = mask;
	umask(mask);
	return 0;
}

void linux_reset_fs_ids(uid_t uid, gid_t gid)
{
	setfsuid(uid);
	/* Asking costs a tenth. */
	if ((gid_t)setfsgid((gid_t)-1) != gid)
		setfsgid(gid);
}

void linux_name_thread(const char *name)
{
	char start[16] = "";

	strncpy(start, name, sizeof(start) - 1);
	pthread_setname_np(pthread_self(), start);
}

int linux_device_of(const char *path, dev_t *device)
{
	struct statx result;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &result))
		return -1;
	*device = makedev(result.stx_dev_major, result.stx_dev_minor);
	return 0;
}

dev_t linux_make_device(unsigned major, unsigned minor)
{
	return makedev(major, minor);
}

unsigned linux_kernel_device(dev_t device)
{
	return major(device) << 20 | minor(device);
}

unsigned linux_device_minor(dev_t device)
{
	return minor(device);
}

int linux_open_fuse_control(void)
{
	int context = (int)syscall(SYS_fsopen, "fusectl", 1 /* FSOPEN_CLOEXEC */);
	int mount = -1;

	if (context < 0)
		return -1;
	/* 6: FSCONFIG_CMD_CREATE */
	if (syscall(SYS_fsconfig, context, 6, NULL, NULL, 0) == 0)
		mount = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, 0);
	int error = errno;

	close(context);
	errno = error;
	return mount;
}

int linux_terminal_size(int fd, unsigned short *rows, unsigned short *columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size))
		return -1;
	*rows = size.ws_row;
	*columns = size.ws_col;
	return 0;
}

struct thread_buffers {
	void *memory[2];
	size_t size[2];
};

static _Thread_local struct thread_buffers *buffers;
static pthread_key_t buffers_key;
static pthread_once_t buffers_once = PTHREAD_ONCE_INIT;

static void free_buffers(void *value)
{
	struct thread_buffers *ending = value;

	free(ending->memory[0]);
	free(ending->memory[1]);
	free(ending);
}

static void make_key(void)
{
	pthread_key_create(&buffers_key, free_buffers);
}

void *linux_thread_buffer(unsigned slot, size_t size)
{
	if (slot > 1)
		return NULL;
	if (!buffers) {
		struct thread_buffers *fresh = calloc(1, sizeof(*fresh));

		if (!fresh)
			return NULL;
		pthread_once(&buffers_once, make_key);
		if (pthread_setspecific(buffers_key, fresh)) {
			free(fresh);
			return NULL;
		}
		buffers = fresh;
	}
	if (buffers->size[slot] < size || !buffers->memory[slot]) {
		size_t page = 4096, rounded = (size + page) & ~(page - 1);

		free(buffers->memory[slot]);
		buffers->size[slot] = 0;
		buffers->memory[slot] = aligned_alloc(page, rounded);
		if (!buffers->memory[slot])
			return NULL;
		buffers->size[slot] = rounded;
	}
	return buffers->memory[slot];
}
