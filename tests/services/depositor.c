/* SPDX-License-Identifier: Apache-2.0 */
/* A line server that leaves its connections and its counter with whoever started it, by
 * sd_notify(3) alone: FDSTORE. Started again it goes on with all of them, whether it was asked to
 * end or killed.
 *
 *   depositor [--slow-start-ms N] [--barrier] [--close-memory]
 *
 * With --close-memory nobody but the other side holds a descriptor of the counter's memory.
 *
 * Commands: INC (the counter), WHO (version and pid), HANG (answers nothing more). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { kMaxConnections = 64, kFirstFd = 3, kLineBytes = 128, kTickMs = 50 };

struct connection {
  int fd;
  char name[32];
};

static struct connection connections[kMaxConnections];
static int connection_count;
static int next_name;
static int listener = -1;
static _Atomic uint64_t* counter;
static int memory = -1;
static volatile sig_atomic_t asked_to_end;

static void on_term(int number) {
  (void)number;
  asked_to_end = 1;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void notify(const char* text, int fd) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == NULL) die("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  struct iovec part = {.iov_base = (void*)(uintptr_t)text, .iov_len = strlen(text)};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || sendmsg(socket_fd, &message, 0) < 0) die("notify");
  close(socket_fd);
}

/* Returns when the other side has handled all that was said before. */
static void barrier(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) die("pipe");
  notify("BARRIER=1", ends[1]);
  close(ends[1]);
  struct pollfd closed = {.fd = ends[0], .events = 0};
  if (poll(&closed, 1, 10000) != 1) die("barrier");
  close(ends[0]);
}

static void deposit(const char* name, int fd) {
  char text[96];
  snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
  notify(text, fd);
}

static void take_back(const char* name) {
  char text[96];
  snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
  notify(text, -1);
}

static void add_connection(int fd, const char* name) {
  struct connection* added = &connections[connection_count++];
  added->fd = fd;
  snprintf(added->name, sizeof added->name, "%s", name);
  const int number = atoi(name + 1);
  if (number >= next_name) next_name = number + 1;
}

static void map_counter(int fd) {
  void* mapped = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) die("mmap");
  counter = mapped;
  memory = fd;
}

static void take_descriptors(void) {
  const char* count = getenv("LISTEN_FDS");
  const char* pid = getenv("LISTEN_PID");
  char* names = getenv("LISTEN_FDNAMES");
  if (count == NULL || pid == NULL || names == NULL || atoi(pid) != getpid()) die("LISTEN_FDS");
  char* rest = names;
  for (int fd = kFirstFd; fd < kFirstFd + atoi(count); ++fd) {
    const char* name = strsep(&rest, ":");
    if (name == NULL) die("LISTEN_FDNAMES");
    if (strcmp(name, "web") == 0) {
      listener = fd;
    } else if (strcmp(name, "counter") == 0) {
      map_counter(fd);
    } else if (name[0] == 'c') {
      add_connection(fd, name);
    }
  }
  if (counter != NULL) return;
  const int made = memfd_create("counter", MFD_CLOEXEC);
  if (made < 0 || ftruncate(made, sizeof *counter) != 0) die("memfd");
  map_counter(made);
  deposit("counter", made);
}

static void answer(int fd, const char* line) {
  char text[kLineBytes];
  int size = 0;
  if (strncmp(line, "INC", 3) == 0) {
    size = snprintf(text, sizeof text, "%llu\n",
                    (unsigned long long)(atomic_fetch_add(counter, 1) + 1));
  } else if (strncmp(line, "WHO", 3) == 0) {
    const char* version = getenv("VERSION");
    size = snprintf(text, sizeof text, "%s %d\n", version != NULL ? version : "?", getpid());
  } else if (strncmp(line, "HANG", 4) == 0) {
    for (;;) pause();
  } else {
    size = snprintf(text, sizeof text, "?\n");
  }
  if (send(fd, text, (size_t)size, MSG_NOSIGNAL) != size) perror("send");
}

static void serve_connection(int index) {
  char line[kLineBytes];
  const ssize_t got = recv(connections[index].fd, line, sizeof line - 1, 0);
  if (got > 0) {
    line[got] = '\0';
    answer(connections[index].fd, line);
    return;
  }
  take_back(connections[index].name);
  close(connections[index].fd);
  connections[index] = connections[--connection_count];
}

static void accept_one(void) {
  const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (connection_count == kMaxConnections) {
    close(fd);
    return;
  }
  char name[32];
  snprintf(name, sizeof name, "c%d", next_name);
  add_connection(fd, name);
  deposit(name, fd);
}

static void serve(void) {
  struct pollfd ready[kMaxConnections + 1];
  while (!asked_to_end) {
    ready[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    const int count = connection_count;
    for (int i = 0; i < count; ++i) {
      ready[i + 1] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    }
    if (poll(ready, (nfds_t)count + 1, kTickMs) < 0 && errno != EINTR) die("poll");
    if (asked_to_end) break;
    if (getenv("WATCHDOG_USEC") != NULL) notify("WATCHDOG=1", -1);
    for (int i = count - 1; i >= 0; --i) {
      if (ready[i + 1].revents != 0) serve_connection(i);
    }
    if (ready[0].revents != 0) accept_one();
  }
}

int main(int argc, char** argv) {
  const struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  take_descriptors();
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--barrier") == 0) barrier();
    if (strcmp(argv[i], "--close-memory") == 0) close(memory);
    if (strcmp(argv[i], "--slow-start-ms") == 0 && i + 1 < argc) {
      notify("EXTEND_TIMEOUT_USEC=20000000", -1);
      poll(NULL, 0, atoi(argv[i + 1]));
    }
  }
  notify("READY=1\nSTATUS=serving", -1);
  serve();
  notify("STOPPING=1", -1);
  return 0;
}
