/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBBPF_SHIM_H
#define LIBBPF_SHIM_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

/*
 * libbpf logs through a va_list callback, which Swift cannot implement. This
 * silences it and keeps the last warning of each thread.
 */
void shim_libbpf_capture_warnings(void);
/* "" if there was none; valid until the thread's next libbpf call. */
const char *shim_libbpf_last_warning(void);

/* DECLARE_LIBBPF_OPTS does not import: bpf_prog_test_run_opts with a context. */
int shim_prog_run(int prog, void *context, unsigned int size, unsigned int *result);

/* Glibc's Swift module lacks statfs: 1 if path is on a BPF file system, 0 if not. */
int shim_is_bpf_file_system(const char *path);

#endif
