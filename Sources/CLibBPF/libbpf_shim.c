/* SPDX-License-Identifier: Apache-2.0 */
#include "libbpf_shim.h"

#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/vfs.h>

static _Thread_local char last_warning[512];

static int capture(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(last_warning, sizeof(last_warning), format, arguments);
		last_warning[strcspn(last_warning, "\n")] = 0;
	}
	return 0;
}

void shim_libbpf_capture_warnings(void)
{
	libbpf_set_print(capture);
}

const char *shim_libbpf_last_warning(void)
{
	return last_warning;
}

int shim_prog_run(int prog, void *context, unsigned int size, unsigned int *result)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = size);
	int error = bpf_prog_test_run_opts(prog, &options);

	*result = options.retval;
	return error;
}

int shim_is_bpf_file_system(const char *path)
{
	struct statfs info;

	return statfs(path, &info) == 0 && info.f_type == BPF_FS_MAGIC;
}
