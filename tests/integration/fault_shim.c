/* SPDX-License-Identifier: Apache-2.0
 * LD_PRELOAD: counts every call by which a program changes a disk, over all its processes, and lets
 * one of them go wrong.
 *   FAULT_COUNTER  a file of 8 bytes: how many calls there were
 *   FAULT_AT       which call, from 1 on; 0: none
 *   FAULT_DO       "before" or "after": the process is killed there; a number: errno, and the call
 *                  does nothing */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Also where a process may not signal itself. */
static void die(void) {
  raise(SIGKILL);
  __builtin_trap();
}

enum action { none, kill_before, kill_after, give_error };

static _Atomic uint64_t* counter;
static uint64_t fault_at;
static enum action fault_action;
static int fault_errno;

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("FAULT_COUNTER");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* shared = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared == MAP_FAILED) return;
  const char* at = getenv("FAULT_AT");
  const char* what = getenv("FAULT_DO");
  fault_at = at == NULL ? 0 : strtoull(at, NULL, 10);
  fault_errno = what == NULL ? 0 : atoi(what);
  fault_action = what == NULL                  ? none
                 : strcmp(what, "before") == 0 ? kill_before
                 : strcmp(what, "after") == 0  ? kill_after
                                               : give_error;
  counter = shared;
}

static enum action next(void) {
  if (counter == NULL) return none;
  const enum action action = ++*counter == fault_at ? fault_action : none;
  if (action == kill_before) die();
  return action;
}

#define WRAP_IF(condition, type, name, parameters, arguments)   \
  type name parameters {                                        \
    static type(*real) parameters;                              \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name); \
    const enum action action = (condition) ? next() : none;     \
    if (action == give_error) {                                 \
      errno = fault_errno;                                      \
      return -1;                                                \
    }                                                           \
    const type result = real arguments;                         \
    if (action == kill_after) die();                            \
    return result;                                              \
  }
#define WRAP(type, name, parameters, arguments) WRAP_IF(1, type, name, parameters, arguments)

WRAP_IF(fd > 2, ssize_t, write, (int fd, const void* bytes, size_t size), (fd, bytes, size))
WRAP(ssize_t, pwrite, (int fd, const void* bytes, size_t size, off_t at), (fd, bytes, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void* bytes, size_t size, off64_t at), (fd, bytes, size, at))
WRAP(ssize_t, copy_file_range,
     (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags),
     (from, from_at, to, to_at, size, flags))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, syncfs, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, rename, (const char* from, const char* to), (from, to))
WRAP(int, renameat2, (int from_at, const char* from, int to_at, const char* to, unsigned flags),
     (from_at, from, to_at, to, flags))
WRAP(int, linkat, (int from_at, const char* from, int to_at, const char* to, int flags),
     (from_at, from, to_at, to, flags))
WRAP(int, symlinkat, (const char* target, int at, const char* path), (target, at, path))
WRAP(int, mkdir, (const char* path, mode_t mode), (path, mode))
WRAP(int, mkdirat, (int at, const char* path, mode_t mode), (at, path, mode))
WRAP(int, rmdir, (const char* path), (path))
WRAP(int, unlink, (const char* path), (path))
WRAP(int, unlinkat, (int at, const char* path, int flags), (at, path, flags))
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
WRAP(int, fsetxattr, (int fd, const char* name, const void* value, size_t size, int flags),
     (fd, name, value, size, flags))

/* openat2(2) has no wrapper; it counts where it makes a file. */
long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  const int makes_file =
      number == SYS_openat2 && (((const struct open_how*)a[2])->flags & O_CREAT) != 0;
  const enum action action = makes_file ? next() : none;
  if (action == give_error) {
    errno = fault_errno;
    return -1;
  }
  const long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (action == kill_after) die();
  return result;
}
