// SPDX-License-Identifier: Apache-2.0
/* Directories while they change, and names that several processes want at once. */
#define _GNU_SOURCE
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MANY = 1000
};

static char *numbered(int number)
{
	static char name[48];

	snprintf(name, sizeof(name), "a-name-of-some-length-%d", number);
	return name;
}

/* Reads `stream` to its end; counts how often each numbered name is there. */
static void count(DIR *stream, unsigned char seen[MANY])
{
	int number;

	for (struct dirent *entry; (entry = readdir(stream));) {
		if (sscanf(entry->d_name, "a-name-of-some-length-%d", &number) == 1 &&
		    number >= 0 && number < MANY)
			seen[number]++;
	}
}

/* Of the numbers `from`, `from` + `step`, …, how many were seen `times` times. */
static int seen_times(const unsigned char seen[MANY], int from, int step, int times)
{
	int sum = 0;

	for (int i = from; i < MANY; i += step)
		sum += seen[i] == times;
	return sum;
}

static void seek_and_rewind(void)
{
	static unsigned char seen[MANY], again[MANY];
	char at[256];

	for (int i = 0; i < MANY; i++)
		make(numbered(i), "");
	DIR *stream = opendir(".");

	for (int i = 0; i < 300; i++)
		readdir(stream);
	long place = telldir(stream);

	strcpy(at, readdir(stream)->d_name);
	count(stream, seen);
	seekdir(stream, place);
	say("after seekdir the same entry: %d", !strcmp(readdir(stream)->d_name, at));
	rewinddir(stream);
	count(stream, again);
	say("after rewinddir seen once: %d", seen_times(again, 0, 1, 1));
	closedir(stream);

	/* Odd numbers go, and others come, while it is read: even ones must be seen once. */
	stream = opendir(".");
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 100; i++) {
		int number;
		struct dirent *entry = readdir(stream);

		if (entry && sscanf(entry->d_name, "a-name-of-some-length-%d", &number) == 1)
			seen[number]++;
	}
	for (int i = 1; i < MANY; i += 2) {
		MUST(unlink(numbered(i)));
		make(numbered(i + MANY), "");
	}
	count(stream, seen);
	say("even numbers seen once: %d", seen_times(seen, 0, 2, 1));
	rewinddir(stream);
	memset(seen, 0, sizeof(seen));
	count(stream, seen);
	say("after rewinddir: even once %d, odd never %d", seen_times(seen, 0, 2, 1),
	    seen_times(seen, 1, 2, 0));
	closedir(stream);
	entries(".");
	/* Removing what readdir returned, as rm -r does. */
	stream = opendir(".");
	int removed = 0;

	for (struct dirent *entry; (entry = readdir(stream));)
		removed += unlink(entry->d_name) == 0;
	closedir(stream);
	say("removed %d", removed);
	entries(".");
}

static void entry_types(void)
{
	DIR *stream;
	char kinds[16] = "";
	int matching = 0;
	struct stat info;

	make("f", "");
	mkdir("d", 0755);
	symlink("x", "l");
	mkfifo("p", 0644);
	mknod("s", S_IFSOCK | 0644, 0);
	stream = opendir(".");
	for (struct dirent *entry; (entry = readdir(stream));) {
		if (lstat(entry->d_name, &info))
			continue;
		if (strcmp(entry->d_name, ".."))
			matching += info.st_ino == entry->d_ino;
		if ((mode_t)DTTOIF(entry->d_type) == (info.st_mode & S_IFMT) &&
		    entry->d_name[0] != '.')
			kinds[strlen(kinds)] = entry->d_name[0];
	}
	closedir(stream);
	say("%zu types right, %d inode numbers right", strlen(kinds), matching);
}

static void removed_directory(void)
{
	char path[4096];
	int fd;

	mkdir("d", 0755);
	fd = MUST(open("d", O_RDONLY | O_DIRECTORY));
	MUST(chdir("d"));
	DO(rmdir("../d"));
	show_fd("d", fd);
	show(".");
	entries(".");
	DO(mkdir("new", 0755));
	DO(openat(fd, "new", O_CREAT | O_WRONLY, 0644));
	DO(open("new", O_CREAT | O_WRONLY, 0644));
	DO(symlink("x", "new"));
	DO(access("..", F_OK));
	DO(fchmod(fd, 0700));
	DO(getcwd(path, sizeof(path)) ? 0 : -1);
	DO(fsync(fd));
	MUST(chdir("/"));
}

static void links_of_directories(void)
{
	mkdir("d", 0755);
	show("d");
	for (int i = 0; i < 5; i++)
		MUST(mkdirat(MUST(open("d", O_RDONLY)), numbered(i), 0755));
	show("d");
	make("d/file", "");
	show("d");
	MUST(chdir("d"));
	MUST(rmdir(numbered(2)));
	show(".");
	MUST(rename(numbered(3), "../other"));
	show(".");
	show("..");
}

enum {
	PROCESSES = 4,
	ROUNDS = 100
};

static long race_create(int process)
{
	long won = 0;

	(void)process;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = open(numbered(i), O_CREAT | O_EXCL | O_WRONLY, 0644);

		won += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	return won;
}

static long race_mkdir(int process)
{
	long won = 0;

	(void)process;
	for (int i = 0; i < ROUNDS; i++)
		won += mkdir(numbered(i), 0755) == 0;
	return won;
}

static long race_rmdir(int process)
{
	long won = 0;

	(void)process;
	for (int i = 0; i < ROUNDS; i++)
		won += rmdir(numbered(i)) == 0;
	return won;
}

static long race_link(int process)
{
	long won = 0;

	(void)process;
	for (int i = 0; i < ROUNDS; i++)
		won += link("file", numbered(i)) == 0;
	return won;
}

static long race_unlink(int process)
{
	long won = 0;

	(void)process;
	for (int i = 0; i < ROUNDS; i++)
		won += unlink(numbered(i)) == 0;
	return won;
}

static long race_rename(int process)
{
	char own[16];
	long won = 0;

	snprintf(own, sizeof(own), "own%d", process);
	make(own, "");
	for (int i = 0; i < ROUNDS; i++) {
		if (renameat2(AT_FDCWD, own, AT_FDCWD, numbered(i), RENAME_NOREPLACE))
			continue;
		won++;
		make(own, "");
	}
	unlink(own);
	return won;
}

/* Of those who want one name, exactly one gets it. */
static void exclusive_races(void)
{
	make("file", "");
	say("created: %ld", in_parallel(PROCESSES, race_create));
	say("unlinked: %ld", in_parallel(PROCESSES, race_unlink));
	say("directories made: %ld", in_parallel(PROCESSES, race_mkdir));
	say("directories removed: %ld", in_parallel(PROCESSES, race_rmdir));
	say("linked: %ld", in_parallel(PROCESSES, race_link));
	show("file");
	say("unlinked: %ld", in_parallel(PROCESSES, race_unlink));
	show("file");
	say("renamed: %ld", in_parallel(PROCESSES, race_rename));
	entries(".");
}

const struct rule directory_rules[] = {
	{"seek_and_rewind", seek_and_rewind},     {"entry_types", entry_types},
	{"removed_directory", removed_directory}, {"links_of_directories", links_of_directories},
	{"exclusive_races", exclusive_races},     {NULL, NULL},
};
