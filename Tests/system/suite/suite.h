/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUITE_H
#define SUITE_H

/*
 * A rule does something in a fresh directory, its working directory, as root in a process of its
 * own, and says what it saw. What it says must be the same wherever the file system is the same:
 * no inode numbers, no times, no order of entries.
 */
#include <stddef.h>
#include <sys/types.h>

struct rule {
	const char *name;
	void (*run)(void);
};

/* By topic; a rule without a name ends each. */
extern const struct rule name_rules[], directory_rules[], attribute_rules[], mode_rules[];
extern const struct rule access_rules[], file_rules[], data_rules[], xattr_rules[], list_rules[];

/* One line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says the call with its outcome: "ok" or the errno's name. Closes nothing. */
#define DO(call) say("%s: %s", #call, outcome((long)(call)))
/* The same, with the number that the call returned. */
#define NUMBER(call) say("%s: %s", #call, returned((long)(call)))
/* For calls that must not fail for the rule to mean anything. */
#define MUST(call) must((long)(call), #call)

const char *outcome(long result);
const char *returned(long result);
long must(long result, const char *call);

/* Makes or replaces a file. */
void make(const char *path, const char *content);
/* Says type, mode, links, owner, size and device number of `path` itself. */
void show(const char *path);
void show_fd(const char *what, int fd);
/* Says the content, at most 200 bytes. */
void content(const char *path);
void content_fd(const char *what, int fd);
/* Says how many entries `path` has, without "." and "..". */
void entries(const char *path);

/* Remembers up to 8 paths, ended by NULL, and lets the file system's clock go on. */
void watch(const char *path, ...) __attribute__((sentinel));
/* Says for each which times have moved since, and what became of nlink and size. */
void report(void);
void tick(void);

/*
 * for_user (UID, GID, group, …, -1) { … } runs the block in another process as that user with
 * these supplementary groups, and waits for it.
 */
#define for_user(uid, gid, ...) \
	for (int once = as_user(uid, gid, __VA_ARGS__); once; once = end_user())
int as_user(uid_t uid, gid_t gid, ...);
int end_user(void);

/* Runs `body` in `count` processes at once, with their numbers; returns the sum of the results. */
long in_parallel(int count, long (*body)(int));

#endif
