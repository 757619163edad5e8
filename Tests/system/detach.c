// SPDX-License-Identifier: Apache-2.0
/*
 * detach PID: has the module let go of the mount that daemon PID serves, by the
 * daemon's own open /dev/shortfuse. The mount goes on, not accelerated.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "shortfuse_abi.h"

int main(int argc, char **argv)
{
	char path[64], target[64];
	struct dirent *entry;
	DIR *directory;
	int process;

	if (argc != 2)
		errx(2, "usage: detach PID");
	snprintf(path, sizeof(path), "/proc/%s/fd", argv[1]);
	directory = opendir(path);
	process = syscall(SYS_pidfd_open, atoi(argv[1]), 0);
	if (!directory || process < 0)
		err(1, "%s", path);
	while ((entry = readdir(directory))) {
		ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		int device;

		if (length < 0)
			continue;
		target[length] = 0;
		if (strcmp(target, "/dev/" SF_DEVICE))
			continue;
		device = syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);
		if (device < 0 || ioctl(device, SF_IOC_DETACH))
			err(1, "detach");
		return 0;
	}
	errx(1, "process %s has no /dev/%s open", argv[1], SF_DEVICE);
}
