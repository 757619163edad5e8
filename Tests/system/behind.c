// SPDX-License-Identifier: Apache-2.0
/*
 * behind SOURCE MOUNT SECONDS RATE: changes files in SOURCE, RATE times a second,
 * while the mount caches them, and looks how long it takes until the mount shows
 * it. At the end all must be as in SOURCE. Prints
 *
 *	changes=60000 probes=2345 p50=0.3 p90=0.9 p99=2.1 max=9.8 lost=0
 *	old: p50=0.0 p90=0.2 p99=1.4 max=8.7
 *
 * and the first of each kind of change, with delays in ms: until a look showed
 * the change, and until the last look began that did not. The first has in it
 * how late this program itself looks on a busy machine, the second has not. A
 * change that does not show within 5 s, or not at the end, is lost.
 *
 * One thread changes; this one keeps everything cached and watches the changes
 * that were chosen as probes.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ITEMS 256
/* Every so many changes one is a probe: watching them all would be the load. */
#define PROBE_EVERY 10
#define LOST_AFTER 5.0

/* What is changed of an item: each is a number that the mount must show, too. */
enum kind {
	DATA,
	SIZE,
	TIME,
	PRESENCE,
	MAPPED,
	KINDS
};
static const char *const kind_names[] = {"data", "size", "time", "presence", "mapped"};

struct item {
	enum kind kind;
	char name[16];
	long number;
	const _Atomic long *mapped;
	/* Set by the changer, cleared when it was seen. */
	atomic_int probed;
	double changed_at;
	/* When the last look began that did not show it; 0 if there was none. */
	double old_at;
};

static struct item items[ITEMS];
static int source, mount;
static double seconds, rate;
static atomic_int stopped;
static unsigned long changes;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void change(struct item *item)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = item->number + 1}};
	int fd, error = 0;

	item->number++;
	switch (item->kind) {
	case DATA:
	case MAPPED:
		fd = openat(source, item->name, O_WRONLY);
		error = fd < 0 || pwrite(fd, &item->number, sizeof(item->number), 0) < 0;
		close(fd);
		break;
	case SIZE:
		fd = openat(source, item->name, O_WRONLY);
		error = fd < 0 || ftruncate(fd, item->number);
		close(fd);
		break;
	case TIME:
		error = utimensat(source, item->name, times, 0);
		break;
	default:
		if (item->number % 2)
			error = mknodat(source, item->name, S_IFREG | 0600, 0);
		else
			error = unlinkat(source, item->name, 0);
	}
	if (error)
		err(1, "change %s", item->name);
}

/* As `directory` shows it. A name's presence has only the last bit. */
static long look(int directory, const struct item *item)
{
	struct stat status;
	long number = -1;
	int fd;

	switch (item->kind) {
	case MAPPED:
		if (directory == mount)
			return atomic_load(item->mapped);
		/* fall through */
	case DATA:
		fd = openat(directory, item->name, O_RDONLY);
		if (fd < 0 || pread(fd, &number, sizeof(number), 0) != sizeof(number))
			warn("read %s", item->name);
		close(fd);
		return number;
	case PRESENCE:
		return !fstatat(directory, item->name, &status, 0);
	default:
		if (fstatat(directory, item->name, &status, 0))
			return -1;
		return item->kind == SIZE ? status.st_size : status.st_mtim.tv_sec;
	}
}

static long expected(const struct item *item)
{
	return item->kind == PRESENCE ? item->number % 2 : item->number;
}

static void *changer(void *unused)
{
	double start = now(), next = start;
	unsigned seed = 1;

	while (now() < start + seconds) {
		struct item *item = &items[rand_r(&seed) % ITEMS];

		/* Probed ones are left alone until they were seen. */
		if (!atomic_load(&item->probed)) {
			change(item);
			item->changed_at = now();
			if (++changes % PROBE_EVERY == 0)
				atomic_store(&item->probed, 1);
		}
		next += 1 / rate;
		/* Asked once: between two answers it may have become too late to sleep. */
		for (double left; (left = next - now()) > 0;)
			usleep(left * 1e6 + 1);
	}
	atomic_store(&stopped, 1);
	return unused;
}

static void make(struct item *item, int index)
{
	int fd;

	item->kind = index % KINDS;
	snprintf(item->name, sizeof(item->name), "%s%d", kind_names[item->kind], index);
	if (item->kind == PRESENCE)
		return;
	fd = openat(source, item->name, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || (item->kind != SIZE && ftruncate(fd, 4096)))
		err(1, "make %s", item->name);
	close(fd);
	item->number = 0;
	if (item->kind == TIME)
		change(item);
	if (item->kind == MAPPED) {
		fd = openat(mount, item->name, O_RDONLY);
		item->mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		if (fd < 0 || item->mapped == MAP_FAILED)
			err(1, "map %s", item->name);
		close(fd);
	}
}

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

/* Delays of the probes of one kind, or of all. */
struct record {
	unsigned long probes;
	double delays[1 << 18];
};

static void saw(struct record *record, double delay)
{
	if (record->probes < sizeof(record->delays) / sizeof(*record->delays))
		record->delays[record->probes++] = delay * 1000;
}

static void print(struct record *record)
{
	unsigned long probes = record->probes;
	double *delays = record->delays;

	qsort(delays, probes, sizeof(*delays), compare);
	if (probes)
		printf("p50=%.2f p90=%.2f p99=%.2f max=%.2f", delays[probes / 2],
		       delays[probes * 9 / 10], delays[probes * 99 / 100], delays[probes - 1]);
}

int main(int argc, char **argv)
{
	static struct record all, old, of_kind[KINDS];
	unsigned long lost = 0, lost_of[KINDS] = {0};
	unsigned seed = 2;
	pthread_t thread;

	if (argc != 5)
		errx(2, "usage: behind SOURCE MOUNT SECONDS RATE");
	source = open(argv[1], O_RDONLY | O_DIRECTORY);
	mount = open(argv[2], O_RDONLY | O_DIRECTORY);
	if (source < 0 || mount < 0)
		err(2, "open");
	seconds = atof(argv[3]);
	rate = atof(argv[4]);
	for (int i = 0; i < ITEMS; i++)
		make(&items[i], i);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < ITEMS; i++)
			look(mount, &items[i]);
	}
	if (pthread_create(&thread, NULL, changer, NULL))
		errx(2, "no thread");

	while (!atomic_load(&stopped)) {
		for (int i = 0; i < ITEMS; i++) {
			struct item *item = &items[i];

			if (!atomic_load(&item->probed))
				continue;
			double before = now();

			if (look(mount, item) != expected(item)) {
				item->old_at = before;
				if (before < item->changed_at + LOST_AFTER)
					continue;
				lost++;
				lost_of[item->kind]++;
			} else {
				double delay = now() - item->changed_at;

				saw(&all, delay);
				saw(&of_kind[item->kind], delay);
				saw(&old, item->old_at ? item->old_at - item->changed_at : 0);
			}
			item->old_at = 0;
			atomic_store(&item->probed, 0);
		}
		/* So that there is something to be forgotten. */
		look(mount, &items[rand_r(&seed) % ITEMS]);
		/* Adds to the delays, but without it this loop itself is most of the load. */
		usleep(500);
	}
	pthread_join(thread, NULL);
	usleep(500000);
	for (int i = 0; i < ITEMS; i++) {
		if (look(mount, &items[i]) != look(source, &items[i])) {
			lost++;
			lost_of[items[i].kind]++;
		}
	}
	if (!all.probes)
		errx(1, "no probe was seen");
	printf("changes=%lu probes=%lu ", changes, all.probes);
	print(&all);
	printf(" lost=%lu\nold: ", lost);
	print(&old);
	for (int kind = 0; kind < KINDS; kind++) {
		printf("\n%s: ", kind_names[kind]);
		print(&of_kind[kind]);
		printf(" lost=%lu", lost_of[kind]);
	}
	putchar('\n');
	return lost != 0;
}
