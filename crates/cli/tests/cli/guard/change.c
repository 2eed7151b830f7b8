/* Kills a process at the n-th of its calls that change the disk.
 *
 * Preloaded (LD_PRELOAD). CHANGE_AT=n: the process is killed instead of making the n-th call; with CHANGE_HALF=1 half
 * of the bytes of a write are written first. CHANGE_LOG=path: logs the name of every such call, one per line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long at, half;
static int log_fd = -1;
static atomic_long n_change;

__attribute__((constructor)) static void begin(void) {
  const char *text;
  if ((text = getenv("CHANGE_AT"))) at = atol(text);
  if ((text = getenv("CHANGE_HALF"))) half = atol(text);
  if ((text = getenv("CHANGE_LOG"))) log_fd = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND, 0644);
}

static void end(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/* Whether to kill the process before this call. */
static int is_due(const char *name) {
  if (log_fd >= 0) {
    char line[64];
    size_t n = strlen(name);
    memcpy(line, name, n);
    line[n] = '\n';
    syscall(SYS_write, log_fd, line, n + 1);
  }
  return atomic_fetch_add(&n_change, 1) + 1 == at;
}

static void change(const char *name) {
  if (is_due(name)) end();
}

static int is_file(int fd) {
  struct stat found;
  return fd > 2 && !fstat(fd, &found) && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                          \
  int name(const char *path, int flags, ...) {              \
    va_list more;                                           \
    va_start(more, flags);                                  \
    int mode = va_arg(more, int);                           \
    va_end(more);                                           \
    if (flags & (O_CREAT | O_TRUNC)) change(#name);         \
    return REAL(name)(path, flags, mode);                   \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                        \
  int name(int folder, const char *path, int flags, ...) {  \
    va_list more;                                           \
    va_start(more, flags);                                  \
    int mode = va_arg(more, int);                           \
    va_end(more);                                           \
    if (flags & (O_CREAT | O_TRUNC)) change(#name);         \
    return REAL(name)(folder, path, flags, mode);           \
  }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t n) {
  if (is_file(fd) && is_due("write")) {
    if (half) REAL(write)(fd, bytes, n / 2);
    end();
  }
  return REAL(write)(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
  if (is_file(fd)) change("writev");
  return REAL(writev)(fd, parts, n);
}

#define CHANGES(result, name, parameters, arguments) \
  result name parameters {                           \
    change(#name);                                   \
    return REAL(name) arguments;                     \
  }
#define CHANGES_FD(result, name, parameters, arguments) \
  result name parameters {                              \
    if (is_file(fd)) change(#name);                     \
    return REAL(name) arguments;                        \
  }
CHANGES(int, rename, (const char *from, const char *to), (from, to))
CHANGES(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGES(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
CHANGES(int, link, (const char *from, const char *to), (from, to))
CHANGES(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
CHANGES(int, symlink, (const char *from, const char *to), (from, to))
CHANGES(int, unlink, (const char *path), (path))
CHANGES(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
CHANGES(int, mkdir, (const char *path, mode_t mode), (path, mode))
CHANGES(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode))
CHANGES(int, rmdir, (const char *path), (path))
CHANGES(int, chmod, (const char *path, mode_t mode), (path, mode))
CHANGES(int, utimensat, (int folder, const char *path, const struct timespec *times, int flags), (folder, path, times, flags))
CHANGES_FD(int, ftruncate, (int fd, off_t n), (fd, n))
CHANGES_FD(int, ftruncate64, (int fd, off64_t n), (fd, n))
CHANGES_FD(int, fsync, (int fd), (fd))
CHANGES_FD(int, fdatasync, (int fd), (fd))
CHANGES_FD(int, fchmod, (int fd, mode_t mode), (fd, mode))
CHANGES_FD(int, futimens, (int fd, const struct timespec *times), (fd, times))
CHANGES_FD(ssize_t, pwrite, (int fd, const void *bytes, size_t n, off_t place), (fd, bytes, n, place))
CHANGES_FD(ssize_t, pwrite64, (int fd, const void *bytes, size_t n, off64_t place), (fd, bytes, n, place))
CHANGES_FD(ssize_t, sendfile, (int fd, int from, off_t *place, size_t n), (fd, from, place, n))
CHANGES_FD(ssize_t, sendfile64, (int fd, int from, off64_t *place, size_t n), (fd, from, place, n))

ssize_t copy_file_range(int from, off64_t *a, int fd, off64_t *b, size_t n, unsigned flags) {
  if (is_file(fd)) change("copy_file_range");
  return REAL(copy_file_range)(from, a, fd, b, n, flags);
}
