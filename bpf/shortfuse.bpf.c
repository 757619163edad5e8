// SPDX-License-Identifier: GPL-2.0
/*
 * The answers: one program per opcode, over maps that the daemon keeps exact.
 *
 * Each program is given one request (struct sf_ctx) and either answers it or
 * passes it on. It passes whenever anything is not as expected: a miss costs a
 * trip to the daemon, a wrong answer would cost trust.
 *
 * Type `syscall`: takes any context and runs natively under BPF_PROG_RUN. What
 * kernel 6.1 refuses in such programs: context memory as a map key or a
 * helper's buffer, and context access at anything but a constant offset. Hence
 * the copies, word by word.
 */
#include "nodes.bpf.h"
#include "files.bpf.h"
#include "replies.bpf.h"
#include "learn.bpf.h"

char LICENSE[] SEC("license") = "GPL";
