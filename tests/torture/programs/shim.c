/* Preloaded into rose: makes chosen writes below one folder fail, and shifts the wall clock.

   TORTURE_ROOT    the folder; calls that touch nothing below it are left alone
   TORTURE_FAULT   "<call or any> <first> <how many> <errno>": of the calls of that name, counted from 1, so many fail
                   from the first on. errno 0 makes a write short instead; first 0 lets all pass, and logs them
   TORTURE_LOG     takes a line for each call that failed
   TORTURE_CLOCK   a file that holds the seconds to add to the wall clock

   Only `python -m rose_cli` is meddled with: neither its tasks nor its watchdog. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static pid_t victim;
static int log_fd = -1, clock_fd = -1;
static char root[4096], wanted[32];
static long first, how_many, number, error_number;

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static void say(const char *what, const char *path, long count) {
    char line[5000];
    int length = snprintf(line, sizeof line, "%s %ld %s\n", what, count, path);
    if (log_fd >= 0) syscall(SYS_write, log_fd, line, (size_t)length);
}

__attribute__((constructor)) static void begin(void) {
    char arguments[4096] = {0};
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, arguments, sizeof arguments - 1);
    close(fd);
    if (length < 0 || !memmem(arguments, (size_t)length, "\0-m\0rose_cli\0", 13)) return;
    const char *folder = getenv("TORTURE_ROOT"), *fault = getenv("TORTURE_FAULT");
    const char *log_file = getenv("TORTURE_LOG"), *clock_file = getenv("TORTURE_CLOCK");
    if (folder) snprintf(root, sizeof root, "%s/", folder);
    if (fault && sscanf(fault, "%31s %ld %ld %ld", wanted, &first, &how_many, &error_number) != 4) abort();
    if (log_file) log_fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (clock_file) clock_fd = open(clock_file, O_RDONLY | O_CLOEXEC);
    victim = getpid();
}

static int below(const char *path) {
    char whole[4096];
    if (!path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole)) return 0;
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
        strncat(whole, path, sizeof whole - strlen(whole) - 1);
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

/* Whether this call is to fail; errno is set then. */
static int fails(const char *call, const char *path) {
    if (!victim || !wanted[0] || victim != getpid() || !below(path)) return 0;
    if (strcmp(wanted, "any") != 0 && strcmp(wanted, call) != 0) return 0;
    long mine = __atomic_add_fetch(&number, 1, __ATOMIC_SEQ_CST);
    if (first == 0) say(call, path, mine);
    if (first == 0 || mine < first || mine >= first + how_many) return 0;
    say(call, path, mine);
    errno = (int)error_number;
    return 1;
}

static int fails_fd(const char *call, int fd) {
    char link[64], path[4096];
    if (!victim || !wanted[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (fails_fd("write", fd)) {
        if (error_number) return -1;
        size = size > 1 ? size / 2 : size;
    }
    return NEXT(write)(fd, data, size);
}

int fsync(int fd) { return fails_fd("fsync", fd) ? -1 : NEXT(fsync)(fd); }
int syncfs(int fd) { return fails_fd("syncfs", fd) ? -1 : NEXT(syncfs)(fd); }
int fdatasync(int fd) { return fails_fd("fdatasync", fd) ? -1 : NEXT(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails_fd("ftruncate", fd) ? -1 : NEXT(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails_fd("ftruncate", fd) ? -1 : NEXT(ftruncate64)(fd, size); }
int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : NEXT(rename)(from, to); }
int link(const char *from, const char *to) { return fails("link", to) ? -1 : NEXT(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return fails("link", to) ? -1 : NEXT(linkat)(a, from, b, to, flags);
}
int symlink(const char *from, const char *to) { return fails("symlink", to) ? -1 : NEXT(symlink)(from, to); }
int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : NEXT(mkdir)(path, mode); }
int unlink(const char *path) { return fails("unlink", path) ? -1 : NEXT(unlink)(path); }

static int open_or_fail(const char *path, int flags, va_list arguments) {
    int makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(arguments, mode_t) : 0;
    if ((flags & O_CREAT) && fails("create", path)) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_or_fail(path, flags, arguments);
    va_end(arguments);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_or_fail(path, flags | O_LARGEFILE, arguments);
    va_end(arguments);
    return fd;
}

static long clock_offset(void) {
    char text[32] = {0};
    if (clock_fd < 0 || pread(clock_fd, text, sizeof text - 1, 0) <= 0) return 0;
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += clock_offset();
    return result;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
