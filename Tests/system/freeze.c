// SPDX-License-Identifier: Apache-2.0
/*
 * freeze PID NAME...: stops all threads of PID but those named, by ptrace(2), and
 * prints "frozen". They go on when this program ends; it ends when they have.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_spared(int thread, const char *pid, char **names)
{
	char path[80], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/task/%d/comm", pid, thread);
	file = fopen(path, "r");
	if (!file || !fgets(name, sizeof(name), file))
		err(1, "%s", path);
	fclose(file);
	name[strcspn(name, "\n")] = 0;
	for (; *names; names++) {
		if (!strcmp(name, *names))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char path[64];
	struct dirent *entry;
	DIR *directory;

	if (argc < 3)
		errx(2, "usage: freeze PID NAME...");
	snprintf(path, sizeof(path), "/proc/%s/task", argv[1]);
	directory = opendir(path);
	if (!directory)
		err(1, "%s", path);
	while ((entry = readdir(directory))) {
		int thread = atoi(entry->d_name), status;

		if (thread <= 0 || is_spared(thread, argv[1], argv + 2))
			continue;
		if (ptrace(PTRACE_SEIZE, thread, 0, 0) || ptrace(PTRACE_INTERRUPT, thread, 0, 0) ||
		    waitpid(thread, &status, __WALL) != thread)
			err(1, "stop thread %d", thread);
	}
	puts("frozen");
	fflush(stdout);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return 0;
}
