/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse cancels its threads inside read(2). While a library that is not instrumented is in a
 * function of libc, ThreadSanitizer overlooks memory accesses; a thread that is cancelled there
 * ends while it still does, and ThreadSanitizer then ends the program ("finished with ignores
 * enabled"). Here read(2) is called by a function that counts as instrumented, so nothing is
 * overlooked.
 */
#define _GNU_SOURCE
#include <unistd.h>

/* ThreadSanitizer's read(2). */
ssize_t __interceptor_read(int fd, void *buffer, size_t size);

/* A tail call would leave libfuse as the caller. */
__attribute__((disable_tail_calls)) ssize_t read(int fd, void *buffer, size_t size)
{
	return __interceptor_read(fd, buffer, size);
}
