// SPDX-License-Identifier: Apache-2.0
/* Attributes: what moves which time, what keeps and what clears which bit. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static void times_of_parents(void)
{
	int fd;

	mkdir("d", 0755);
	mkdir("e", 0755);
	make("file", "");
	watch("d", NULL);
	DO(fd = open("d/f", O_CREAT | O_WRONLY, 0644));
	report();
	watch("d", "d/f", NULL);
	DO(write(fd, "x", 1));
	report();
	watch("d", NULL);
	DO(open("d/f", O_CREAT | O_WRONLY, 0644));
	report();
	watch("d", NULL);
	DO(mkdir("d/sub", 0755));
	report();
	watch("d", "d/sub", NULL);
	DO(mkdir("d/sub/x", 0755));
	report();
	watch("d/sub", NULL);
	DO(rmdir("d/sub/x"));
	report();
	watch("d", NULL);
	DO(symlink("x", "d/l"));
	report();
	watch("d", NULL);
	DO(mkfifo("d/p", 0644));
	report();
	watch("d", "file", NULL);
	DO(link("file", "d/hard"));
	report();
	watch("d", "file", NULL);
	DO(unlink("d/hard"));
	report();
	watch("d", "d/f", NULL);
	DO(rename("d/f", "d/g"));
	report();
	watch("d", "e", "d/g", NULL);
	DO(rename("d/g", "e/g"));
	report();
	watch("d", "e", "d/sub", NULL);
	DO(rename("d/sub", "e/sub"));
	report();
	show("e/sub");
	watch("d", NULL);
	DO(rmdir("d/missing"));
	DO(mkdir("d/l", 0755));
	report();
	watch("d", "d/l", NULL);
	DO(chmod("d", 0700));
	report();
}

static void times_of_files(void)
{
	char buffer[8];
	int fd, other;

	make("f", "text");
	fd = MUST(open("f", O_RDWR));
	watch("f", NULL);
	DO(chmod("f", 0600));
	report();
	watch("f", NULL);
	DO(chmod("f", 0600));
	report();
	watch("f", NULL);
	DO(chown("f", 1, 2));
	report();
	watch("f", NULL);
	DO(chown("f", -1, -1));
	report();
	watch("f", NULL);
	DO(write(fd, "x", 1));
	report();
	watch("f", NULL);
	DO(write(fd, "x", 0));
	report();
	watch("f", NULL);
	DO(ftruncate(fd, 4));
	report();
	watch("f", NULL);
	DO(ftruncate(fd, 9));
	report();
	watch("f", NULL);
	DO(truncate("f", 9));
	report();
	watch("f", NULL);
	DO(other = open("f", O_WRONLY | O_TRUNC));
	report();
	watch("f", NULL);
	DO(open("f", O_WRONLY | O_TRUNC));
	report();
	MUST(write(other, "text", 4));
	watch("f", NULL);
	DO(setxattr("f", "user.x", "y", 1, 0));
	report();
	watch("f", NULL);
	DO(removexattr("f", "user.x"));
	report();
	watch("f", NULL);
	DO(getxattr("f", "user.x", buffer, 8));
	report();
	watch("f", NULL);
	DO(fallocate(fd, 0, 0, 100));
	report();
	watch("f", NULL);
	DO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
	report();
	watch("f", NULL);
	DO(fsync(fd));
	DO(close(fd));
	report();
	/* The access time moves at most once a day, unless the file was modified since. */
	fd = MUST(open("f", O_RDONLY));
	watch("f", NULL);
	DO(read(fd, buffer, sizeof(buffer)));
	report();
	watch("f", NULL);
	DO(read(fd, buffer, sizeof(buffer)));
	report();
	make("d", "");
	watch("f", NULL);
	DO(link("f", "hard"));
	report();
	watch("f", NULL);
	DO(rename("f", "g"));
	report();
	watch("g", "hard", NULL);
	DO(rename("g", "hard"));
	report();
}

static void say_times(const char *path)
{
	struct stat info;

	MUST(lstat(path, &info));
	say("%s: atime %lld.%09ld mtime %lld.%09ld", path, (long long)info.st_atim.tv_sec,
	    info.st_atim.tv_nsec, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

static void setting_times(void)
{
	struct timespec times[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
	static const long long seconds[] = {0, -1, -2147483648LL, 4294967296LL, 15032385535LL};
	int fd;

	make("f", "text");
	symlink("f", "l");
	fd = MUST(open("f", O_RDONLY));
	watch("f", NULL);
	DO(utimensat(AT_FDCWD, "f", times, 0));
	report();
	say_times("f");
	for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
		times[0].tv_sec = times[1].tv_sec = seconds[i];
		DO(utimensat(AT_FDCWD, "f", times, 0));
		say_times("f");
	}
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_sec = 5;
	DO(futimens(fd, times));
	say_times("f");
	times[0] = (struct timespec){7, 8};
	times[1].tv_nsec = UTIME_OMIT;
	DO(futimens(fd, times));
	say_times("f");
	watch("f", NULL);
	times[0].tv_nsec = UTIME_NOW;
	DO(futimens(fd, times));
	report();
	watch("f", NULL);
	times[0].tv_nsec = UTIME_OMIT;
	DO(futimens(fd, times));
	report();
	watch("f", NULL);
	DO(utimensat(AT_FDCWD, "f", NULL, 0));
	report();
	times[0].tv_nsec = 1000000000;
	DO(utimensat(AT_FDCWD, "f", times, 0));
	times[0] = times[1] = (struct timespec){11, 12};
	DO(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW));
	say_times("l");
	watch("f", "l", NULL);
	DO(utimensat(AT_FDCWD, "l", times, 0));
	report();
	DO(utimensat(AT_FDCWD, "missing", times, 0));
	/* Times that were set stay. */
	MUST(chmod("f", 0600));
	MUST(link("f", "g"));
	MUST(rename("f", "h"));
	say_times("g");
	MUST(chmod("g", 0666));
	for_user(1000, 1000, -1) {
		DO(utimensat(AT_FDCWD, "g", times, 0));
		DO(utimensat(AT_FDCWD, "g", NULL, 0));
		times[0].tv_nsec = times[1].tv_nsec = UTIME_NOW;
		DO(utimensat(AT_FDCWD, "g", times, 0));
		times[0].tv_nsec = UTIME_OMIT;
		DO(utimensat(AT_FDCWD, "g", times, 0));
	}
	MUST(chmod("g", 0644));
	for_user(1000, 1000, -1) {
		DO(utimensat(AT_FDCWD, "g", NULL, 0));
	}
}

static void file_flags(void)
{
	int flags = 0, fd;

	make("f", "");
	fd = MUST(open("f", O_RDONLY));
	DO(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	int known = flags & (FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NOATIME_FL);

	say("flags %#x", known);
	flags |= FS_NODUMP_FL;
	watch("f", NULL);
	DO(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	report();
	DO(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	say("no dump: %d", !!(flags & FS_NODUMP_FL));
	for_user(1000, 1000, -1) {
		DO(ioctl(fd, FS_IOC_SETFLAGS, &flags));
		DO(ioctl(open("f", O_RDONLY), FS_IOC_GETFLAGS, &flags));
	}
	int fixed = flags | FS_IMMUTABLE_FL;

	if (ioctl(fd, FS_IOC_SETFLAGS, &fixed) == 0) {
		DO(unlink("f"));
		DO(open("f", O_WRONLY));
		DO(chmod("f", 0600));
		DO(link("f", "g"));
		DO(rename("f", "g"));
		DO(setxattr("f", "user.x", "y", 1, 0));
		MUST(ioctl(fd, FS_IOC_SETFLAGS, &flags));
		DO(chmod("f", 0600));
	}
	mkdir("d", 0755);
	DO(ioctl(MUST(open("d", O_RDONLY)), FS_IOC_GETFLAGS, &flags));
	NUMBER(ioctl(fd, FIONREAD, &flags));
	DO(ioctl(fd, TIOCGWINSZ, &flags));
	DO(ioctl(fd, FIGETBSZ, &flags));
}

static void file_system(void)
{
	struct statvfs info;
	struct stat file;

	DO(statvfs(".", &info));
	say("block %lu, fragment %lu, %lu blocks, %lu files, name %lu", info.f_bsize, info.f_frsize,
	    (unsigned long)info.f_blocks, (unsigned long)info.f_files, info.f_namemax);
	make("f", "text");
	MUST(stat("f", &file));
	say("I/O size %ld", (long)file.st_blksize);
	say("names of %ld", pathconf(".", _PC_NAME_MAX));
}

const struct rule attribute_rules[] = {
	{"times_of_parents", times_of_parents}, {"times_of_files", times_of_files},
	{"setting_times", setting_times},       {"file_flags", file_flags},
	{"file_system", file_system},           {NULL, NULL},
};
