// SPDX-License-Identifier: Apache-2.0
/*
 * posix-suite DIRECTORY [RULE…]: runs all rules, or those named, and prints what each saw:
 *
 *	rule: observation
 *
 * One run on a file system and one on its mirror must print the same. As root, in an empty
 * directory.
 */
#define _GNU_SOURCE
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct rule *const topics[] = {
	name_rules, directory_rules, attribute_rules, mode_rules, access_rules,
	file_rules, data_rules,      xattr_rules,     list_rules,
};

static const char *directory;
static int failures;

static int wanted(const char *name, int count, char **arguments)
{
	if (count == 0)
		return 1;
	for (int i = 0; i < count; i++) {
		if (!strcmp(name, arguments[i]))
			return 1;
	}
	return 0;
}

static void in_directory(const struct rule *rule)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, rule->name);
	MUST(mkdir(path, 0755));
	MUST(chdir(path));
	/* A rule that waits for ever must not. */
	alarm(300);
	umask(022);
	rule->run();
	fflush(stdout);
	_exit(0);
}

/* Each observation with the rule's name before it: the output is read line by line. */
static void run(const struct rule *rule)
{
	int pipes[2], status;
	char line[4096];

	MUST(pipe2(pipes, O_CLOEXEC));
	fflush(stdout);
	pid_t child = fork();

	if (child == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		in_directory(rule);
	}
	close(pipes[1]);
	FILE *lines = fdopen(pipes[0], "r");

	while (fgets(line, sizeof(line), lines))
		printf("%s: %s", rule->name, line);
	fclose(lines);
	waitpid(child, &status, 0);
	if (status) {
		printf("%s: ENDED with status %#x\n", rule->name, status);
		failures++;
	}
}

int main(int count, char **arguments)
{
	/* Rules execute this program: see set_id_programs. */
	if (count == 2 && !strcmp(arguments[1], "--who")) {
		printf("uid %d euid %d gid %d egid %d\n", getuid(), geteuid(), getgid(), getegid());
		return 0;
	}
	if (count < 2) {
		fprintf(stderr, "usage: posix-suite DIRECTORY [RULE…]\n");
		return 2;
	}
	directory = realpath(arguments[1], NULL);
	if (!directory) {
		fprintf(stderr, "posix-suite: %s: %s\n", arguments[1], strerror(errno));
		return 2;
	}
	for (size_t topic = 0; topic < sizeof(topics) / sizeof(*topics); topic++) {
		for (const struct rule *rule = topics[topic]; rule->name; rule++) {
			if (wanted(rule->name, count - 2, arguments + 2))
				run(rule);
		}
	}
	return failures ? 1 : 0;
}
