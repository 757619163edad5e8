/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf_programs.h"

/* #embed: clang has it in every C mode, and says so. */
#pragma clang diagnostic ignored "-Wc23-extensions"

#ifdef SF_FAULTS
#define OBJECT "../../.build-faults/bpf/shortfuse.bpf.o"
#else
#define OBJECT "../../.build/bpf/shortfuse.bpf.o"
#endif

#if !__has_embed(OBJECT)
#error "no compiled BPF programs: run scripts/build, or make -C bpf"
#endif

/* libbpf reads it in place as an ELF file. */
_Alignas(16) static const unsigned char object[] = {
#embed OBJECT
};

const void *sf_bpf_object(size_t *size)
{
	*size = sizeof(object);
	return object;
}
