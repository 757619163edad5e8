// SPDX-License-Identifier: Apache-2.0
/* Data: holes, mappings, appends, copies. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define GIB (1LL << 30)

/* Data and holes from the start to the end. */
static void map_of(int fd)
{
	off_t at = 0, data, hole;

	for (int i = 0; i < 20; i++) {
		data = lseek(fd, at, SEEK_DATA);
		if (data < 0) {
			say("  from %lld: %s", (long long)at, outcome(-1));
			return;
		}
		hole = lseek(fd, data, SEEK_HOLE);
		say("  data %lld to %lld", (long long)data, (long long)hole);
		at = hole;
	}
}

static void say_blocks(int fd)
{
	struct stat info;

	/* What is not allocated yet is not counted everywhere. */
	MUST(fsync(fd));
	MUST(fstat(fd, &info));
	say("  size %lld blocks %lld", (long long)info.st_size, (long long)info.st_blocks);
}

static void large_and_sparse(void)
{
	char buffer[8];
	int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));

	NUMBER(pwrite(fd, "end", 3, 5 * GIB));
	say_blocks(fd);
	map_of(fd);
	NUMBER(pwrite(fd, "middle", 6, 2 * GIB - 3));
	NUMBER(pwrite(fd, "middle", 6, 4 * GIB - 3));
	map_of(fd);
	NUMBER(pread(fd, buffer, 8, 4 * GIB - 3));
	say("%.6s", buffer);
	NUMBER(pread(fd, buffer, 8, 3 * GIB));
	say("%d", memcmp(buffer, "\0\0\0\0\0\0\0\0", 8));
	NUMBER(pread(fd, buffer, 8, 5 * GIB));
	NUMBER(pread(fd, buffer, 8, 5 * GIB + 3));
	NUMBER(pread(fd, buffer, 8, 6 * GIB));
	NUMBER(lseek(fd, 0, SEEK_END));
	NUMBER(lseek(fd, 5 * GIB + 3, SEEK_DATA));
	NUMBER(lseek(fd, 5 * GIB + 2, SEEK_HOLE));
	NUMBER(lseek(fd, -1, SEEK_DATA));
	NUMBER(lseek(fd, -1, SEEK_SET));
	NUMBER(lseek(fd, 1, 77));
	DO(ftruncate(fd, 6 * GIB));
	map_of(fd);
	DO(ftruncate(fd, 3 * GIB));
	say_blocks(fd);
	map_of(fd);
	DO(ftruncate(fd, 0));
	say_blocks(fd);
}

static void allocation(void)
{
	static char text[65536];
	static const struct {
		const char *name;
		int mode;
		off_t offset, length;
	} steps[] = {
		{"extend", 0, 0, 100000},
		{"within", 0, 4096, 4096},
		{"keep size", FALLOC_FL_KEEP_SIZE, 100000, 100000},
		{"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192},
		{"punch part of a block", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 50},
		{"punch beyond", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 60000, 100000},
		{"zero", FALLOC_FL_ZERO_RANGE, 20000, 10000},
		{"zero beyond", FALLOC_FL_ZERO_RANGE, 60000, 20000},
		{"zero, keep size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 60000, 100000},
		{"punch without keeping", FALLOC_FL_PUNCH_HOLE, 0, 4096},
		{"unknown", 0x8000, 0, 4096},
		{"nothing", 0, 0, 0},
		{"negative", 0, -1, 10},
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		unsigned long sum = 0;
		int fd = MUST(open(steps[i].name, O_CREAT | O_RDWR, 0644));

		memset(text, 't', sizeof(text));
		MUST(pwrite(fd, text, sizeof(text), 0));
		say("%s", steps[i].name);
		DO(fallocate(fd, steps[i].mode, steps[i].offset, steps[i].length));
		say_blocks(fd);
		/* Only now is it read: what was allocated and read counts as data. */
		map_of(fd);
		MUST(pread(fd, text, sizeof(text), 0));
		for (size_t byte = 0; byte < sizeof(text); byte++)
			sum = sum * 31 + (unsigned char)text[byte];
		say("  sum %lu", sum);
	}
	make("f", "text");
	DO(fallocate(MUST(open("f", O_RDONLY)), 0, 0, 10));
	DO(fallocate(MUST(open(".", O_RDONLY)), 0, 0, 10));
}

static void truncating(void)
{
	char buffer[8];
	int fd, reader;

	make("f", "some text");
	fd = MUST(open("f", O_RDWR));
	reader = MUST(open("f", O_RDONLY));
	content_fd("f", reader);
	DO(ftruncate(fd, 4));
	content_fd("f", reader);
	DO(ftruncate(fd, 9));
	content_fd("f", reader);
	DO(truncate("f", 2));
	content_fd("f", reader);
	NUMBER(pread(reader, buffer, 8, 5));
	DO(open("f", O_WRONLY | O_TRUNC));
	content_fd("f", reader);
	NUMBER(pwrite(fd, "x", 1, 5));
	content_fd("f", reader);
	DO(ftruncate(reader, 1));
	DO(ftruncate(fd, -1));
	DO(truncate(".", 1));
	mkfifo("p", 0644);
	DO(truncate("p", 1));
	/* What lay behind the end of the file must not come back. */
	MUST(ftruncate(fd, 0));
	MUST(pwrite(fd, "secret", 6, 0));
	MUST(ftruncate(fd, 1));
	MUST(ftruncate(fd, 6));
	content_fd("f", reader);
}

static sigjmp_buf beyond;

static void bus_error(int signal)
{
	siglongjmp(beyond, signal);
}

static void mappings(void)
{
	struct stat before, after;
	char buffer[64];
	int fd, other, size = 10000;

	make("f", "text");
	fd = MUST(open("f", O_RDWR));
	other = MUST(open("f", O_RDWR));
	MUST(ftruncate(fd, size));
	char *shared = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	DO(shared == MAP_FAILED ? -1 : 0);
	memcpy(shared, "MAP", 3);
	content("f");
	MUST(pread(other, buffer, 4, 0));
	say("read: %.4s", buffer);
	MUST(pwrite(other, "written", 7, 8000));
	say("mapped: %.7s", shared + 8000);
	/* Not the access time: when a page is read is the cache's business. */
	MUST(fstat(fd, &before));
	tick();
	memcpy(shared + 9000, "later", 5);
	DO(msync(shared, 16384, MS_SYNC));
	MUST(fstat(fd, &after));
	say("mtime moved: %d, ctime: %d", before.st_mtim.tv_nsec != after.st_mtim.tv_nsec,
	    before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
	MUST(pread(other, buffer, 5, 9000));
	say("read: %.5s", buffer);
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, other, 0);

	memcpy(private, "PRIVATE", 7);
	MUST(pread(other, buffer, 4, 0));
	say("read: %.4s", buffer);
	/* Behind the end within the last page: not the file's. */
	memcpy(shared + size, "behind", 6);
	DO(msync(shared, 16384, MS_SYNC));
	show("f");
	MUST(ftruncate(fd, size + 100));
	MUST(pread(other, buffer, 6, size));
	say("behind: %d", memcmp(buffer, "\0\0\0\0\0\0", 6));
	MUST(ftruncate(fd, 4096));
	signal(SIGBUS, bus_error);
	if (!sigsetjmp(beyond, 1))
		say("beyond the end: %d", shared[8192]);
	else
		say("beyond the end: SIGBUS");
	/* A mapping outlives descriptor and name. */
	close(fd);
	close(other);
	unlink("f");
	say("mapped: %.3s", shared);
	memcpy(shared, "END", 3);
	DO(msync(shared, 4096, MS_SYNC));
	munmap(shared, 16384);
	make("g", "text");
	DO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, open("g", O_RDONLY), 0) == MAP_FAILED ? -1 : 0);
	DO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, open("g", O_WRONLY), 0) == MAP_FAILED ? -1 : 0);
}

static long append(int process)
{
	char line[64];
	int fd = open("f", O_WRONLY | O_APPEND | O_CREAT, 0644);
	long done = 0;

	for (int i = 0; i < 300; i++) {
		int length = snprintf(line, sizeof(line), "process %d line %d\n", process, i);

		done += write(fd, line, (size_t)length) == length;
	}
	return done;
}

static void appending(void)
{
	char line[64];
	int process, number, next[3] = {0}, lines = 0, fd;

	say("appended: %ld", in_parallel(3, append));
	FILE *file = fopen("f", "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "process %d line %d", &process, &number) == 2 && process >= 0 &&
		    process < 3 && next[process] == number)
			next[process]++;
		lines++;
	}
	say("lines %d, in order %d %d %d", lines, next[0], next[1], next[2]);
	make("g", "text");
	fd = MUST(open("g", O_RDWR | O_APPEND));
	NUMBER(lseek(fd, 1, SEEK_SET));
	NUMBER(write(fd, "one", 3));
	NUMBER(lseek(fd, 0, SEEK_CUR));
	NUMBER(pwrite(fd, "two", 3, 0));
	content("g");
	MUST(fcntl(fd, F_SETFL, 0));
	NUMBER(pwrite(fd, "T", 1, 0));
	struct iovec part = {"three", 5};

	NUMBER(pwritev2(fd, &part, 1, 0, RWF_APPEND));
	content("g");
	MUST(truncate("g", 2));
	MUST(fcntl(fd, F_SETFL, O_APPEND));
	NUMBER(write(fd, "four", 4));
	content("g");
}

static void copying(void)
{
	loff_t from, to;
	int in, out, pipes[2];

	make("in", "0123456789");
	make("out", "abcdefghij");
	in = MUST(open("in", O_RDWR));
	out = MUST(open("out", O_RDWR));
	from = 2, to = 12;
	NUMBER(copy_file_range(in, &from, out, &to, 5, 0));
	say("%lld %lld", (long long)from, (long long)to);
	content("out");
	NUMBER(copy_file_range(in, NULL, out, NULL, 100, 0));
	NUMBER(lseek(in, 0, SEEK_CUR));
	NUMBER(lseek(out, 0, SEEK_CUR));
	content("out");
	from = 20;
	NUMBER(copy_file_range(in, &from, out, NULL, 100, 0));
	from = 0, to = 5;
	NUMBER(copy_file_range(in, &from, in, &to, 6, 0));
	from = 0, to = 5;
	NUMBER(copy_file_range(in, &from, in, &to, 5, 0));
	content("in");
	NUMBER(copy_file_range(in, &from, out, &to, 5, 1));
	NUMBER(copy_file_range(in, &from, MUST(open("out", O_RDONLY)), NULL, 5, 0));
	NUMBER(copy_file_range(in, &from, MUST(open("out", O_WRONLY | O_APPEND)), NULL, 5, 0));
	NUMBER(copy_file_range(MUST(open("in", O_WRONLY)), NULL, out, NULL, 5, 0));
	NUMBER(copy_file_range(MUST(open(".", O_RDONLY)), NULL, out, NULL, 5, 0));
	lseek(in, 0, SEEK_SET);
	lseek(out, 0, SEEK_SET);
	NUMBER(sendfile(out, in, NULL, 4));
	content("out");
	MUST(pipe(pipes));
	from = 5;
	NUMBER(splice(in, &from, pipes[1], NULL, 5, 0));
	to = 10;
	NUMBER(splice(pipes[0], NULL, out, &to, 5, 0));
	content("out");
}

static void vectors(void)
{
	char one[4] = "", two[8] = "", *volatile nowhere = NULL;
	struct iovec parts[2] = {{"first ", 6}, {"second", 6}}, rest[2] = {{one, 3}, {two, 7}};
	int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));

	NUMBER(writev(fd, parts, 2));
	NUMBER(pwritev(fd, parts, 2, 20));
	content("f");
	NUMBER(preadv(fd, rest, 2, 2));
	say("%s %s", one, two);
	NUMBER(read(fd, one, 0));
	NUMBER(write(fd, one, 0));
	NUMBER(pread(fd, one, 3, -1));
	NUMBER(pwrite(fd, nowhere, 3, 0));
	NUMBER(pread(fd, nowhere, 3, 0));
	show("f");
}

const struct rule data_rules[] = {
	{"large_and_sparse", large_and_sparse},
	{"allocation", allocation},
	{"truncating", truncating},
	{"mappings", mappings},
	{"appending", appending},
	{"copying", copying},
	{"vectors", vectors},
	{NULL, NULL},
};
