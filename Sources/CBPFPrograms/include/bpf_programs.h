/* SPDX-License-Identifier: Apache-2.0 */
/* bpf/'s compiled object, embedded: the binary is one file. */
#ifndef BPF_PROGRAMS_H
#define BPF_PROGRAMS_H

#include <stddef.h>

/* An array of unknown length does not import; a function does. */
const void *sf_bpf_object(size_t *size);

#endif
