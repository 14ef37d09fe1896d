// SPDX-License-Identifier: Apache-2.0
// The only program of the image that the tests load: static, so that the image needs nothing else.
// Its words are done one after the other:
//   out TEXT  err TEXT   writes a line
//   show FILE            writes what the file holds
//   limits               writes what its limits and identity are
//   environment NAME     writes the variable
//   write FILE           makes the file; prints "written", or why not
//   eat                  touches memory until it is stopped
//   burst N              writes N lines
//   ignore               ignores SIGTERM
//   wait                 waits; ends with 7 at SIGTERM, 8 at SIGINT
//   exit N
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_signal(int signal_number) {
  _exit(signal_number == SIGTERM ? 7 : 8);
}

static void show(const char* path) {
  char buffer[4096];
  FILE* file = fopen(path, "r");
  if (file == NULL) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) {
    fwrite(buffer, 1, got, stdout);
  }
  fclose(file);
}

static void show_limits(void) {
  struct rlimit files, processes;
  getrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_NPROC, &processes);
  printf("nofile=%llu:%llu nproc=%llu:%llu uid=%d gid=%d\n", (unsigned long long)files.rlim_cur,
         (unsigned long long)files.rlim_max, (unsigned long long)processes.rlim_cur,
         (unsigned long long)processes.rlim_max, (int)getuid(), (int)getgid());
}

static void write_file(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT, 0600);
  if (fd < 0) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  puts("written");
  close(fd);
}

static void eat(void) {
  enum { kStep = 1 << 20 };
  for (;;) {
    char* memory = malloc(kStep);
    if (memory != NULL) memset(memory, 1, kStep);
  }
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  for (int i = 1; i < argc; ++i) {
    const char* word = argv[i];
    const char* next = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(word, "limits") == 0) {
      show_limits();
    } else if (strcmp(word, "eat") == 0) {
      eat();
    } else if (strcmp(word, "ignore") == 0) {
      signal(SIGTERM, SIG_IGN);
    } else if (strcmp(word, "wait") == 0) {
      for (;;) pause();
    } else {
      ++i;
      if (strcmp(word, "out") == 0) puts(next);
      if (strcmp(word, "err") == 0) fprintf(stderr, "%s\n", next);
      if (strcmp(word, "show") == 0) show(next);
      if (strcmp(word, "environment") == 0) puts(getenv(next) ? getenv(next) : "(unset)");
      if (strcmp(word, "write") == 0) write_file(next);
      if (strcmp(word, "burst") == 0) {
        for (int line = 0; line < atoi(next); ++line) printf("line %d\n", line);
      }
      if (strcmp(word, "exit") == 0) return atoi(next);
    }
  }
  return 0;
}
