// SPDX-License-Identifier: GPL-2.0
/*
 * Versions of everything, in 2^SF_STRIPE_BITS numbers. A change increments its stripes
 * before it is sent and again after its reply; what was learned from a request that was
 * sent before the last of these is void. A collision invalidates something that did not
 * change, which costs a request. Uses only atomics: some changes are sent with spinlocks
 * held.
 */
#include <linux/hash.h>
#include <linux/jhash.h>
#include "foreign.h"

u32 sf_stripe_of(enum sf_kind kind, u64 nodeid)
{
	return hash_64(nodeid * 8 + kind, SF_STRIPE_BITS);
}

/* Excludes a NUL that may follow. */
u32 sf_stripe_of_name(u64 parent, const void *name, u32 size)
{
	return sf_stripe_of(SF_NAME, parent ^ (u64)jhash(name, strnlen(name, size), 0) << 20);
}

/* Raises it to a number that was never used before. */
static void sf_raise(struct sf_foreign *foreign, struct sf_stripe *stripe)
{
	s64 seq = atomic64_inc_return(&foreign->seq), old = atomic64_read(&stripe->seq);

	while (old < seq && !atomic64_try_cmpxchg(&stripe->seq, &old, seq))
		;
}

static struct sf_stripe *sf_stripe(const struct sf_foreign *foreign, u32 index)
{
	return &foreign->stripes[index];
}

void sf_begin(struct sf_foreign *foreign, const struct sf_change *change)
{
	if (sf_fault_is("attach-late"))
		return;
	if (change->is_all) {
		atomic_inc(&foreign->all.changing);
		sf_raise(foreign, &foreign->all);
	}
	for (int i = 0; i < change->count; i++) {
		atomic_inc(&sf_stripe(foreign, change->stripes[i])->changing);
		sf_raise(foreign, sf_stripe(foreign, change->stripes[i]));
	}
}

void sf_end(struct sf_foreign *foreign, const struct sf_change *change)
{
	if (sf_fault_is("attach-late"))
		return sf_touch(foreign, change);
	for (int i = 0; i < change->count; i++) {
		sf_raise(foreign, sf_stripe(foreign, change->stripes[i]));
		smp_mb__before_atomic();
		atomic_dec(&sf_stripe(foreign, change->stripes[i])->changing);
	}
	if (change->is_all) {
		sf_raise(foreign, &foreign->all);
		smp_mb__before_atomic();
		atomic_dec(&foreign->all.changing);
	}
}

void sf_touch(struct sf_foreign *foreign, const struct sf_change *change)
{
	if (change->is_all)
		sf_raise(foreign, &foreign->all);
	for (int i = 0; i < change->count; i++)
		sf_raise(foreign, sf_stripe(foreign, change->stripes[i]));
}

static bool sf_is_quiet(const struct sf_stripe *stripe, u64 since)
{
	return !atomic_read_acquire(&stripe->changing) && atomic64_read(&stripe->seq) <= since;
}

bool sf_unchanged(const struct sf_foreign *foreign, u32 stripe, u64 since)
{
	return sf_is_quiet(sf_stripe(foreign, stripe), since);
}

bool sf_all_unchanged(const struct sf_foreign *foreign, u64 since)
{
	return sf_is_quiet(&foreign->all, since);
}
