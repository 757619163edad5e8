// SPDX-License-Identifier: GPL-2.0
/*
 * The answers: one program per opcode, over maps that the daemon keeps exact.
 *
 * Each program gets one request (struct sf_ctx) and either answers it or
 * passes it on. It passes whenever anything is not as expected: a miss only costs
 * a request to the daemon.
 *
 * Type `syscall`: accepts any context and can run with BPF_PROG_RUN. In such
 * programs, kernel 6.1 does not allow context memory as a map key or a
 * helper's buffer, or context access at an offset that is not constant. Hence
 * the copies, word by word.
 */
#include "nodes.bpf.h"
#include "files.bpf.h"
#include "replies.bpf.h"
#include "learn.bpf.h"

char LICENSE[] SEC("license") = "GPL";
