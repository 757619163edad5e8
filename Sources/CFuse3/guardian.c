/*
 * The process that outlives a daemon, in C: it is this program once more, and begins before main
 * and before anything of Swift. FuseSession's Guardian says what it is for.
 */
#define _GNU_SOURCE
#include "CFuse3.h"

#include <CLinux.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* argv[0]; with the mountpoint and its device behind it. */
#define NAME "sf-guardian"

/* What it has open. */
enum {
	LINE = 3,
	DEVICE,
	NODES,
	ABORT,
	PASSED_END = CFUSE3_GUARDIAN_FIRST
};

#define PAGE_BYTES 4096

/* True unless the kernel does not know the node. Without a connection there is nothing to drop. */
static bool drop(int device, uint64_t node, int pages)
{
	struct cfuse3_inval_inode message = cfuse3_inval_inode_message(node, pages);

	while (write(device, &message, sizeof(message)) < 0) {
		if (errno != EINTR)
			return errno != ENOENT;
	}
	return true;
}

static void drop_page(int device, off_t page, const uint64_t *words, ssize_t count, int pages)
{
	for (ssize_t i = 0; i < count / 8; i++) {
		for (uint64_t word = words[i]; word; word &= word - 1)
			drop(device, (uint64_t)page * 8 + i * 64 + __builtin_ctzll(word), pages);
	}
}

int cfuse3_drop_nodes(int device, int nodes, int pages)
{
	uint64_t words[PAGE_BYTES / 8];

	/* Without the root's attributes no path leads into the mount any more. */
	if (!drop(device, FUSE_ROOT_ID, pages))
		return -1;
	for (off_t page = 0; (page = lseek(nodes, page, SEEK_DATA)) >= 0; page += PAGE_BYTES) {
		page -= page % PAGE_BYTES;
		drop_page(device, page, words, pread(nodes, words, sizeof(words), page), pages);
	}
	return 0;
}

/*
 * The file aborts this connection or none, also if the number is another one's by now. Where it
 * could not be opened, umount(8) with --force aborts first, and then fails, because the mount is
 * open.
 */
static bool abort_connection(const char *mountpoint, const char *device)
{
	dev_t found;

	if (write(ABORT, "1", 1) == 1)
		return true;
	if (linux_device_of(mountpoint, &found) || found != strtoull(device, NULL, 10))
		return false;
	return !umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW) || errno != EPERM;
}

static void guard(const char *mountpoint, const char *device)
{
	bool can_abort = fcntl(ABORT, F_GETFD) >= 0;
	uint64_t kept = can_abort ? 0 : 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_DAC_READ_SEARCH, left;
	char byte = '!';

	/* Only the daemon's end ends it. */
	for (const int *number = (int[]){SIGINT, SIGTERM, SIGHUP, SIGPIPE, 0}; *number; number++)
		signal(*number, SIG_IGN);
	setsid();
	if (chdir("/") || (linux_limit_capabilities(kept, &left) && errno != EPERM))
		return;
	/* Who finds it by its name finds it with no more than it keeps. */
	prctl(PR_SET_NAME, NAME);
	if (write(LINE, &byte, 1) != 1)
		return;
	/* The daemon says nothing: this ends when it does. */
	while (read(LINE, &byte, 1) < 0 && errno == EINTR)
		;
	if (cfuse3_drop_nodes(DEVICE, NODES, 0) || !abort_connection(mountpoint, device))
		return;
	/* Waits for pages that are being read, so not before nobody can wait for the daemon. */
	cfuse3_drop_nodes(DEVICE, NODES, 1);
}

__attribute__((constructor)) static void become_guardian(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[0], NAME))
		return;
	guard(argv[1], argv[2]);
	_exit(0);
}

/* Starts it with `line` in its table. Returns its process, or -1. */
static pid_t start(const struct cfuse3_guardian *guardian, int line)
{
	const int passed[] = {line, guardian->device, guardian->nodes, guardian->abort};
	char *argv[] = {NAME, (char *)guardian->mountpoint, (char *)guardian->number, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	errno = posix_spawn_file_actions_init(&actions);
	if (errno)
		return -1;
	for (int stream = 0; stream <= STDERR_FILENO; stream++)
		posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
	for (int i = 0; i < PASSED_END - LINE; i++) {
		if (passed[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, passed[i], LINE + i);
	}
	posix_spawn_file_actions_addclosefrom_np(&actions,
						 guardian->abort < 0 ? ABORT : PASSED_END);
	errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return errno ? -1 : pid;
}

pid_t cfuse3_start_guardian(const struct cfuse3_guardian *guardian, int *line)
{
	pid_t pid = -1;
	char byte;
	int ends[2], passed;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	passed = fcntl(ends[1], F_DUPFD_CLOEXEC, PASSED_END);
	if (passed >= 0)
		pid = start(guardian, passed);

	int error = errno;

	close(ends[1]);
	close(passed);
	if (pid >= 0 && read(ends[0], &byte, 1) == 1) {
		*line = ends[0];
		return pid;
	}
	close(ends[0]);
	if (pid >= 0) {
		waitpid(pid, NULL, 0);
		error = ECHILD;
	}
	errno = error;
	return -1;
}
