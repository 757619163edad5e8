// SPDX-License-Identifier: Apache-2.0
/*
 * io-check plant DIRECTORY FILES SEED: files of 1 to 16 KiB, three levels deep, each of
 *	one byte repeated.
 * io-check sums DIRECTORY WAY: the checksum of every file below, read by WAY:
 *	read direct mmap random (pread at random offsets, then all of it)
 * io-check random DIRECTORY CASES SEED [SOURCE]: changes a few files in DIRECTORY
 *	in every way there is; after each change another process reads, and must see
 *	what the model says. With SOURCE the changes are made there instead, behind
 *	the mount. Prints `CASES cases, N wrong`.
 * io-check readers DIRECTORY SECONDS THREADS: threads that open, read (O_DIRECT)
 *	and close distinct files below. Prints `reads=N wrong=N`: each file must hold
 *	one byte, repeated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SIZE (96 * 1024)
#define PAGE 4096

static uint64_t state;

static uint64_t next(void)
{
	uint64_t z = state += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t limit)
{
	return limit ? next() % limit : 0;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static sigjmp_buf no_page;

static void on_bus_error(int signal)
{
	(void)signal;
	siglongjmp(no_page, 1);
}

/* Reads up to size bytes at offset by one of the ways; bytes read or -1. */
static ssize_t read_by(const char *path, const char *way, void *buffer, size_t size, off_t offset)
{
	int direct = !strcmp(way, "direct");
	int fd = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
	volatile ssize_t result;

	if (fd < 0)
		return -1;
	if (!strcmp(way, "mmap")) {
		struct stat info;
		off_t start = offset & ~(off_t)(PAGE - 1);
		char *map;

		if (fstat(fd, &info))
			die("fstat");
		result = info.st_size <= offset ? 0 : info.st_size - offset;
		if (result > (ssize_t)size)
			result = size;
		if (result) {
			map = mmap(NULL, result + offset - start, PROT_READ, MAP_SHARED, fd, start);
			if (map == MAP_FAILED)
				die("mmap");
			/* A file that is shorter than fstat said: the twin's. */
			if (sigsetjmp(no_page, 1))
				result = -1;
			else
				memcpy(buffer, map + (offset - start), result);
			munmap(map, result + offset - start);
		}
	} else {
		result = pread(fd, buffer, size, offset);
	}
	close(fd);
	return result;
}

static const char *way_of_sums;

static int sum(const char *path, const struct stat *info, int type, struct FTW *place)
{
	static char buffer[4 << 20] __attribute__((aligned(PAGE)));
	uint64_t hash = 14695981039346656037u;
	ssize_t got;

	(void)place;
	if (type != FTW_F || !S_ISREG(info->st_mode))
		return 0;
	if (!strcmp(way_of_sums, "random")) {
		for (int i = 0; i < 8; i++)
			if (read_by(path, "read", buffer, below(9000), below(info->st_size)) < 0)
				die(path);
	}
	got = read_by(path, way_of_sums, buffer, sizeof(buffer), 0);
	if (got < 0)
		die(path);
	for (ssize_t i = 0; i < got; i++)
		hash = (hash ^ (unsigned char)buffer[i]) * 1099511628211u;
	printf("%016lx %zd %s\n", (unsigned long)hash, got, path);
	return 0;
}

static int plant(const char *directory, int count)
{
	static char bytes[16384];
	char path[4096];

	for (int i = 0; i < count; i++) {
		size_t size = 1024 + below(sizeof(bytes) - 1023);
		int fd;

		snprintf(path, sizeof(path), "%s/d%d", directory, i / 100);
		mkdir(path, 0755);
		snprintf(path, sizeof(path), "%s/d%d/e%d", directory, i / 100, i / 10 % 10);
		mkdir(path, 0755);
		snprintf(path, sizeof(path), "%s/d%d/e%d/file%d", directory, i / 100, i / 10 % 10,
			 i % 10);
		memset(bytes, (int)below(256), size);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
			die(path);
		close(fd);
	}
	return 0;
}

/* --- random --- */

enum {
	FILES = 8
};

struct model {
	size_t size;
	char bytes[MAX_SIZE];
};

/* Shared by the two processes. */
struct question {
	int file;
	off_t offset;
	size_t size;
	char way[8];
	ssize_t got;
	char buffer[MAX_SIZE + PAGE] __attribute__((aligned(PAGE)));
};

static struct model models[FILES];
static char paths[FILES][4096], changed[FILES][4096];

static void grow(struct model *model, size_t size)
{
	if (size > model->size)
		memset(model->bytes + model->size, 0, size - model->size);
	model->size = size;
}

static int open_for_change(int file, int flags)
{
	int fd = open(changed[file], flags | O_CLOEXEC);

	if (fd < 0)
		die(changed[file]);
	return fd;
}

static void must(ssize_t got, ssize_t wanted, const char *what)
{
	if (got != wanted)
		die(what);
}

static void change(int file, int behind)
{
	static char bytes[9000];
	struct model *model = &models[file], *other;
	size_t offset = below(MAX_SIZE - sizeof(bytes)), size = 1 + below(sizeof(bytes) - 1);
	int what = below(9), fd, from;
	char *map;

	memset(bytes, (int)below(256), sizeof(bytes));
	switch (what) {
	case 0: /* pwrite */
		fd = open_for_change(file, O_WRONLY);
		must(pwrite(fd, bytes, size, offset), size, "pwrite");
		close(fd);
		if (offset + size > model->size)
			grow(model, offset + size);
		memcpy(model->bytes + offset, bytes, size);
		break;
	case 1: /* append */
		if (model->size + size > MAX_SIZE)
			break;
		fd = open_for_change(file, O_WRONLY | O_APPEND);
		must(write(fd, bytes, size), size, "append");
		close(fd);
		offset = model->size;
		grow(model, offset + size);
		memcpy(model->bytes + offset, bytes, size);
		break;
	case 2: /* truncate */
		must(truncate(changed[file], offset), 0, "truncate");
		grow(model, offset);
		break;
	case 3: /* punch a hole */
		fd = open_for_change(file, O_WRONLY);
		must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size), 0,
		     "fallocate");
		close(fd);
		if (offset < model->size)
			memset(model->bytes + offset, 0,
			       (offset + size < model->size ? offset + size : model->size) -
				       offset);
		break;
	case 4: /* extend */
		fd = open_for_change(file, O_WRONLY);
		must(fallocate(fd, 0, offset, size), 0, "fallocate");
		close(fd);
		if (offset + size > model->size)
			grow(model, offset + size);
		break;
	case 5: /* O_TRUNC, and some */
		fd = open_for_change(file, O_WRONLY | O_TRUNC);
		must(write(fd, bytes, size), size, "write");
		close(fd);
		grow(model, 0);
		grow(model, size);
		memcpy(model->bytes, bytes, size);
		break;
	case 6: /* through a mapping */
		if (!model->size)
			break;
		offset = below(model->size);
		if (size > model->size - offset)
			size = model->size - offset;
		fd = open_for_change(file, O_RDWR);
		map = mmap(NULL, model->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die("mmap");
		memcpy(map + offset, bytes, size);
		if (behind || below(2))
			must(msync(map, model->size, MS_SYNC), 0, "msync");
		munmap(map, model->size);
		close(fd);
		memcpy(model->bytes + offset, bytes, size);
		break;
	case 7: /* copy_file_range */
		other = &models[(file + 1) % FILES];
		if (!other->size)
			break;
		if (size > other->size)
			size = other->size;
		from = open((behind ? changed : paths)[(file + 1) % FILES], O_RDONLY | O_CLOEXEC);
		fd = open_for_change(file, O_WRONLY);
		if (from < 0)
			die("open");
		off_t at = 0, to = offset;

		must(copy_file_range(from, &at, fd, &to, size, 0), size, "copy_file_range");
		close(from);
		close(fd);
		if (offset + size > model->size)
			grow(model, offset + size);
		memcpy(model->bytes + offset, other->bytes, size);
		break;
	default: /* read again what nobody changed */
		break;
	}
}

static void answer_questions(struct question *question, int in, int out)
{
	char token;

	while (read(in, &token, 1) == 1) {
		question->got = read_by(paths[question->file], question->way, question->buffer,
					question->size, question->offset);
		if (write(out, &token, 1) != 1)
			break;
	}
	_exit(0);
}

static int random_cases(const char *directory, unsigned long cases, const char *source)
{
	static const char *const ways[] = {"read", "direct", "mmap"};
	struct question *question = mmap(NULL, sizeof(*question), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long wrong = 0;
	int there[2], back[2];
	char token = 0;

	if (question == MAP_FAILED || pipe(there) || pipe(back))
		die("set up");
	for (int file = 0; file < FILES; file++) {
		snprintf(paths[file], sizeof(paths[file]), "%s/random%d", directory, file);
		snprintf(changed[file], sizeof(changed[file]), "%s/random%d",
			 source ? source : directory, file);
		close(open(paths[file], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	}
	if (!fork()) {
		close(there[1]);
		signal(SIGBUS, on_bus_error);
		answer_questions(question, there[0], back[1]);
	}
	close(back[1]);
	for (unsigned long i = 0; i < cases; i++) {
		int file = below(FILES);
		struct model *model = &models[file];
		ssize_t wanted;

		change(file, source != NULL);
		/* Twice: the second is of what the first put into the caches. */
		for (int again = 0; again < 2; again++) {
			question->file = file;
			strcpy(question->way, ways[below(3)]);
			question->offset = below(model->size + 5000);
			question->size = 1 + below(20000);
			if (!strcmp(question->way, "direct")) {
				question->offset &= ~511;
				question->size = (question->size + 511) & ~511;
			}
			if (write(there[1], &token, 1) != 1 || read(back[0], &token, 1) != 1)
				die("the reader");
			wanted = question->offset >= (off_t)model->size
					 ? 0
					 : (ssize_t)model->size - question->offset;
			if (wanted > (ssize_t)question->size)
				wanted = question->size;
			if (question->got != wanted ||
			    memcmp(question->buffer, model->bytes + question->offset, wanted)) {
				if (!wrong++)
					printf("case %lu: file %d, %s of %zu at %ld: got %zd, not "
					       "%zd\n",
					       i, file, question->way, question->size,
					       (long)question->offset, question->got, wanted);
			}
		}
	}
	printf("%lu cases, %lu wrong\n", cases, wrong);
	close(there[1]);
	wait(NULL);
	return wrong != 0;
}

/* --- readers --- */

static char **files;
static size_t file_count;
static double deadline;
static int threads;
static unsigned long reads, wrong_reads;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static int add(const char *path, const struct stat *info, int type, struct FTW *place)
{
	(void)place;
	if (type != FTW_F || !S_ISREG(info->st_mode))
		return 0;
	files = realloc(files, (file_count + 1) * sizeof(*files));
	if (!files)
		die("realloc");
	files[file_count++] = strdup(path);
	return 0;
}

static void *reader(void *argument)
{
	size_t first = (size_t)argument;
	unsigned long count = 0, wrong = 0;
	char *buffer;

	if (posix_memalign((void **)&buffer, PAGE, 1 << 20))
		die("memory");
	while (now() < deadline) {
		for (size_t i = first; i < file_count && now() < deadline; i += threads) {
			ssize_t got = read_by(files[i], "direct", buffer, 1 << 20, 0);

			count++;
			if (got < 0)
				wrong++;
			for (ssize_t j = 1; j < got; j++) {
				if (buffer[j] != buffer[0]) {
					wrong++;
					break;
				}
			}
		}
	}
	free(buffer);
	__atomic_fetch_add(&reads, count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&wrong_reads, wrong, __ATOMIC_RELAXED);
	return NULL;
}

static int run_readers(const char *directory, double seconds)
{
	pthread_t ids[64];

	if (threads < 1 || threads > 64 || nftw(directory, add, 16, FTW_PHYS) || !file_count)
		die(directory);
	deadline = now() + seconds;
	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, reader, (void *)(size_t)i);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("reads=%lu wrong=%lu\n", reads, wrong_reads);
	return wrong_reads != 0;
}

int main(int count, char **arguments)
{
	const char *what = count > 3 ? arguments[1] : "";

	if (!strcmp(what, "sums")) {
		way_of_sums = arguments[3];
		return nftw(arguments[2], sum, 16, FTW_PHYS) ? 2 : 0;
	}
	if (!strcmp(what, "plant") && count > 4) {
		state = strtoul(arguments[4], NULL, 10);
		return plant(arguments[2], atoi(arguments[3]));
	}
	if (!strcmp(what, "random") && count > 4) {
		state = strtoul(arguments[4], NULL, 10);
		return random_cases(arguments[2], strtoul(arguments[3], NULL, 10),
				    count > 5 ? arguments[5] : NULL);
	}
	if (!strcmp(what, "readers") && count > 4) {
		threads = atoi(arguments[4]);
		return run_readers(arguments[2], atof(arguments[3]));
	}
	fprintf(stderr, "usage: io-check sums|random|readers DIRECTORY …, see the source\n");
	return 2;
}
