/* SPDX-License-Identifier: GPL-2.0 */
/* The maps of all programs. Only the daemon writes them, except for `grant`, `kept`, `used` and
 * `counters`. */
#ifndef SHORTFUSE_MAPS_BPF_H
#define SHORTFUSE_MAPS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "shortfuse_abi.h"

/* Set by the daemon before load: struct sf_config says what each costs. */
const volatile struct sf_config config = {.slot_bits = 16, .data_sets = 1};

/* What is valid at all; the daemon writes it through mmap. */
struct sf_validity validity;

/*
 * Attributes. A node is in slot nodeid mod slots; the most recent publish gets the
 * slot. 128 bytes per slot, allocated at mount.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 16); /* 1 << config.slot_bits, set by the daemon */
	__type(key, __u32);
	__type(value, struct sf_attr_slot);
} attrs SEC(".maps");

/*
 * Names, in two size classes. When full, the least recently used are evicted: this
 * only costs a request to the daemon.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16); /* set by the daemon */
	__type(key, struct sf_name);
	__type(value, struct sf_dentry);
} names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12); /* set by the daemon */
	__type(key, struct sf_long_name);
	__type(value, struct sf_dentry);
} long_names SEC(".maps");

/* File data, in sets of SF_WAYS blocks; allocated at mount. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SF_WAYS); /* config.data_sets * SF_WAYS, set by the daemon */
	__type(key, __u32);
	__type(value, struct sf_block);
} data SEC(".maps");

/* Replies that fit in a few words. When full, the least recently used are evicted. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16); /* set by the daemon */
	__type(key, struct sf_reply_key);
	__type(value, struct sf_reply);
} replies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SF_OPCODES);
	__type(key, __u32);
	__type(value, struct sf_counter);
} counters SEC(".maps");

/* Counts how a request is handled and returns `verdict`. */
static __always_inline int count(__u32 opcode, int verdict)
{
	struct sf_counter *counter = bpf_map_lookup_elem(&counters, &opcode);

	if (counter)
		__sync_fetch_and_add(verdict == SF_ANSWER ? &counter->answered : &counter->passed,
				     1);
	return verdict;
}

/* A request that is not as the program expects: the daemon may understand it. */
static __always_inline int refuse(__u32 opcode)
{
	struct sf_counter *counter = bpf_map_lookup_elem(&counters, &opcode);

	if (counter)
		__sync_fetch_and_add(&counter->refused, 1);
	return SF_PASS;
}

#endif
