// SPDX-License-Identifier: Apache-2.0
/*
 * attach-probe MODE: gives the module what no daemon would, and prints what it
 * says. Each must be refused, and leave nothing attached.
 *
 *	version   another ABI version          no-fd     a descriptor that is not open
 *	not-fuse  /dev/null for /dev/fuse      unmounted /dev/fuse without a mount
 *	offsets   one field beyond its struct  overlap   two fields in one place
 *	argument  a pointer to nowhere         ioctl     another command
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "shortfuse_abi.h"

static struct sf_field field(int offset, int size)
{
	return (struct sf_field){.offset = offset, .size = size};
}

/* Since 7.2: the module must be told where that is. */
static int has_channel(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512];
	int found = 0;

	while (symbols && !found && fgets(line, sizeof(line), symbols))
		found = strstr(line, " fuse_chan_abort\n") != NULL;
	if (symbols)
		fclose(symbols);
	return found;
}

/* Plausible for any kernel: everything in its place, though not this kernel's. */
static struct sf_layout plausible(void)
{
	struct sf_field none = {0}, pointer = field(8, 8);
	struct sf_field channel = has_channel() ? pointer : none;

	return (struct sf_layout){
		.args = field(0, 128),
		.nodeid = field(0, 8),
		.opcode = field(8, 4),
		.in_numargs = field(12, 1),
		.out_numargs = field(13, 1),
		.in_pages = field(14 * 8 + 3, 1),
		.out_pages = field(14 * 8 + 4, 1),
		.out_argvar = field(14 * 8 + 6, 1),
		.page_zeroing = field(14 * 8 + 7, 1),
		.end = field(96, 8),
		.end_mount = field(0, 8),
		.pages = field(128, 8),
		.descs = field(136, 8),
		.num_pages = field(144, 4),
		.desc = field(0, 8),
		.desc_length = field(0, 4),
		.desc_offset = field(4, 4),
		.in_args = field(16, 48),
		.out_args = field(64, 32),
		.in_arg = field(0, 16),
		.in_arg_size = field(0, 4),
		.in_arg_value = field(8, 8),
		.out_arg = field(0, 16),
		.out_arg_size = field(0, 4),
		.out_arg_value = field(8, 8),
		.mount_fc = field(0, 8),
		.mount_entry = field(8, 16),
		.dev_fc = field(8, 8),
		.conn_mounts = field(512, 16),
		.conn_chan = channel,
		.chan_conn = channel,
		.conn_connected = field(256, 4),
		.conn_user_id = field(260, 4),
		.conn_default_permissions = field(2200, 1),
		.conn_writeback_cache = field(2201, 1),
		.inode_nodeid = field(1024, 8),
		.inode_nlookup = field(1032, 8),
		.inode_lock = field(1040, 4),
	};
}

int main(int count, char **arguments)
{
	const char *mode = count == 2 ? arguments[1] : "";
	int device = open("/dev/" SF_DEVICE, O_RDWR | O_CLOEXEC);
	struct sf_attach request = {
		.size = sizeof(request),
		.abi_version = SF_ABI_VERSION,
		.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC),
		.layout = plausible(),
	};
	unsigned long command = SF_IOC_ATTACH;
	void *argument = &request;

	if (device < 0) {
		fprintf(stderr, "attach-probe: /dev/" SF_DEVICE ": %s\n", strerror(errno));
		return 2;
	}
	memset(request.prog_fd, 0xff, sizeof(request.prog_fd));
	if (!strcmp(mode, "version"))
		request.abi_version++;
	else if (!strcmp(mode, "no-fd"))
		request.fd = 999;
	else if (!strcmp(mode, "not-fuse"))
		request.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	else if (!strcmp(mode, "offsets"))
		request.layout.out_args.offset = 4088;
	else if (!strcmp(mode, "overlap"))
		request.layout.opcode = request.layout.in_numargs;
	else if (!strcmp(mode, "pages"))
		request.layout.pages.offset = 96;
	else if (!strcmp(mode, "end"))
		request.layout.end = request.layout.nodeid;
	else if (!strcmp(mode, "argument"))
		argument = (void *)8;
	else if (!strcmp(mode, "ioctl"))
		command = _IO('S', 99);
	else if (strcmp(mode, "unmounted") != 0)
		return 2;
	if (!ioctl(device, command, argument)) {
		printf("%s: accepted\n", mode);
		return 1;
	}
	printf("%s: %s\n", mode, strerrorname_np(errno));
	return 0;
}
