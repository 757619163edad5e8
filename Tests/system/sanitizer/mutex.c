/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells ThreadSanitizer of the part of Swift's Mutex that it cannot see.
 *
 * A Mutex that is free is taken and released by atomics inlined into our code, which is
 * instrumented. One that is contended goes through these three functions of
 * libswiftSynchronization, which is not: there a spin loop, or the kernel, hands it over. In a
 * program that this is linked into, these are called instead; each leaves the work to the
 * library, and adds what it means. Nothing is suppressed by it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

static SWIFT void (*library_lock)(uint32_t thread, SELF);
static SWIFT bool (*library_try_lock)(SELF);
static SWIFT void (*library_unlock)(SELF);

static void *library_function(const char *symbol)
{
	void *function = dlsym(RTLD_NEXT, symbol);

	if (!function) {
		fprintf(stderr, "mutex.c: libswiftSynchronization has no %s\n", symbol);
		abort();
	}
	return function;
}

/* Before main: nothing is contended yet. */
__attribute__((constructor)) static void find_library(void)
{
	library_lock = library_function(LOCK_SLOW);
	library_try_lock = library_function(TRY_LOCK_SLOW);
	library_unlock = library_function(UNLOCK_SLOW);
}

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK_SLOW);
SWIFT void lock_slow(uint32_t thread, SELF)
{
	library_lock(thread, mutex);
	__tsan_acquire(mutex);
}

SWIFT bool try_lock_slow(SELF) __asm__(TRY_LOCK_SLOW);
SWIFT bool try_lock_slow(SELF)
{
	bool taken = library_try_lock(mutex);

	if (taken)
		__tsan_acquire(mutex);
	return taken;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK_SLOW);
SWIFT void unlock_slow(SELF)
{
	__tsan_release(mutex);
	library_unlock(mutex);
}
