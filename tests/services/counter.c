/* SPDX-License-Identifier: Apache-2.0
 *
 * counter: a TCP server of text lines that counts under names, for tests of the keeper.
 *
 *   INC name   adds 1, answers with the value        GET name   answers with the value
 *   WHO        answers "version pid"                 CONNS      answers with the connections
 *
 *   counter --listen tcp:127.0.0.1:7000 [--version V] [--service S] [--form-version N]
 *           [--misbehave KIND]... where KIND is
 *     exit             end at once, with 3
 *     mute             never speak to the keeper
 *     check            find the rehearsal's snapshot wrong
 *     acquire          decline in the blackout
 *     slow-freeze      take 50 ms to freeze: over any small budget
 *     crash-active     die right after becoming active by a handoff
 *     hang-active      stop answering anything right after becoming active by a handoff
 *     vote-yes, vote-no  right after becoming active by a handoff
 *     stay             do not end when told to
 *     chatter          print a line at every change of state
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "segue/segue.h"

enum { kMaxCounters = 4096, kNameBytes = 64, kLineBytes = 256, kMaxEvents = 64 };
enum { kTagValue = 1, kTagInput = 1 };

struct counter {
  char name[kNameBytes];
  uint64_t value;
};

struct client {
  segue_conn* conn;
  size_t size;
  char input[kLineBytes];
};

enum misbehaviour {
  kExit = 1 << 0,
  kMute = 1 << 1,
  kCheck = 1 << 2,
  kAcquire = 1 << 3,
  kSlowFreeze = 1 << 4,
  kCrashActive = 1 << 5,
  kHangActive = 1 << 6,
  kVoteYes = 1 << 7,
  kVoteNo = 1 << 8,
  kStay = 1 << 9,
  kChatter = 1 << 10
};

static const struct {
  const char* name;
  unsigned bit;
} kMisbehaviours[] = {
    {"exit", kExit},
    {"mute", kMute},
    {"check", kCheck},
    {"acquire", kAcquire},
    {"slow-freeze", kSlowFreeze},
    {"crash-active", kCrashActive},
    {"hang-active", kHangActive},
    {"vote-yes", kVoteYes},
    {"vote-no", kVoteNo},
    {"stay", kStay},
    {"chatter", kChatter},
};

static struct {
  segue_instance* handoff;
  segue_table* table;
  segue_class* clients;
  struct counter counters[kMaxCounters];
  size_t count;
  size_t connections;
  int epoll;
  int listener;
  int polls_clients; /* from activate to freeze */
  int ended;
  int vote; /* to be cast: 1 yes, 2 no */
  const char* version;
  unsigned misbehaves;
} service = {.epoll = -1, .listener = -1, .version = "1"};

static void die(const char* what) {
  fprintf(stderr, "counter: %s\n", what);
  exit(1);
}

static void chat(const char* what) {
  if (service.misbehaves & kChatter) printf("counter %s: %s\n", service.version, what);
}

/* ---- Counters ---- */

static struct counter* find(const void* name, size_t size) {
  for (size_t i = 0; i < service.count; ++i) {
    if (strlen(service.counters[i].name) == size && !memcmp(service.counters[i].name, name, size)) {
      return &service.counters[i];
    }
  }
  return NULL;
}

static struct counter* find_or_make(const void* name, size_t size) {
  struct counter* found = find(name, size);
  if (found != NULL || size == 0 || size >= kNameBytes || service.count == kMaxCounters) {
    return found;
  }
  found = &service.counters[service.count++];
  memcpy(found->name, name, size);
  found->name[size] = '\0';
  found->value = 0;
  return found;
}

static int scan_counters(void* user, uint64_t* cursor, uint32_t max_keys, segue_scan* scan) {
  (void)user;
  while (*cursor < service.count && max_keys-- > 0) {
    const struct counter* next = &service.counters[(*cursor)++];
    segue_scan_key(scan, next->name, strlen(next->name));
  }
  return *cursor < service.count;
}

static int encode_counter(void* user, const void* key, size_t size, segue_writer* out) {
  (void)user;
  const struct counter* found = find(key, size);
  if (found == NULL) return SEGUE_GONE;
  segue_put_u64(out, kTagValue, found->value);
  return SEGUE_OK;
}

static int put_counter(void* user, const void* key, size_t size, const segue_record* record) {
  (void)user;
  struct counter* made = find_or_make(key, size);
  if (made == NULL) return SEGUE_LIMIT;
  made->value = segue_get_u64(record, kTagValue, 0);
  return SEGUE_OK;
}

static int erase_counter(void* user, const void* key, size_t size) {
  (void)user, (void)key, (void)size; /* nothing is ever erased */
  return SEGUE_OK;
}

static void clear_counters(void* user) {
  (void)user;
  service.count = 0;
}

/* ---- Clients ---- */

static void watch(int fd, void* data) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
  if (epoll_ctl(service.epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void forget_client(struct client* client, segue_close_how how) {
  epoll_ctl(service.epoll, EPOLL_CTL_DEL, segue_conn_fd(client->conn), NULL);
  segue_conn_close(client->conn, how);
  --service.connections;
  free(client);
}

__attribute__((format(printf, 2, 3))) static void answer(struct client* client, const char* format,
                                                         ...) {
  char line[kLineBytes];
  va_list arguments;
  va_start(arguments, format);
  const int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  /* Answers are short and clients wait for them: they always fit. */
  if (send(segue_conn_fd(client->conn), line, (size_t)size, MSG_NOSIGNAL) != size)
    chat("lost answer");
}

static void obey(struct client* client, char* line) {
  char* name = strchr(line, ' ');
  if (name != NULL) *name++ = '\0';
  if (!strcmp(line, "WHO")) {
    answer(client, "%s %d\n", service.version, (int)getpid());
  } else if (!strcmp(line, "CONNS")) {
    answer(client, "%zu\n", service.connections);
  } else if (name != NULL && (!strcmp(line, "INC") || !strcmp(line, "GET"))) {
    const int adds = line[0] == 'I';
    struct counter* chosen = adds ? find_or_make(name, strlen(name)) : find(name, strlen(name));
    if (adds && chosen != NULL) {
      ++chosen->value;
      segue_table_put(service.table, chosen->name, strlen(chosen->name));
    }
    answer(client, "%llu\n", chosen == NULL ? 0ULL : (unsigned long long)chosen->value);
  } else {
    answer(client, "?\n");
  }
}

static void serve_client(struct client* client) {
  const ssize_t got = recv(segue_conn_fd(client->conn), client->input + client->size,
                           kLineBytes - 1 - client->size, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    forget_client(client, SEGUE_CLOSE_FIN);
    return;
  }
  client->size += (size_t)got;
  char* end = NULL;
  while ((end = memchr(client->input, '\n', client->size)) != NULL) {
    *end = '\0';
    obey(client, client->input);
    const size_t used = (size_t)(end + 1 - client->input);
    client->size -= used;
    memmove(client->input, end + 1, client->size);
  }
  if (client->size == kLineBytes - 1) {
    forget_client(client, SEGUE_CLOSE_RST);
    return;
  }
  segue_conn_touch(client->conn);
}

static struct client* new_client(segue_conn* conn) {
  struct client* client = calloc(1, sizeof *client);
  if (client == NULL) die("out of memory");
  client->conn = conn;
  segue_conn_set_data(conn, client);
  ++service.connections;
  return client;
}

static void accept_clients(void) {
  for (int i = 0; i < kMaxEvents; ++i) {
    const int fd = accept4(service.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    segue_conn* conn = segue_conn_add(service.clients, fd, NULL);
    if (conn == NULL) {
      close(fd);
      continue;
    }
    watch(fd, new_client(conn));
  }
}

static int encode_client(void* user, segue_conn* conn, segue_writer* out) {
  (void)user;
  const struct client* client = segue_conn_data(conn);
  segue_put(out, kTagInput, client->input, client->size);
  return SEGUE_OK;
}

static int update_client(void* user, segue_conn* conn, const segue_record* record) {
  (void)user;
  struct client* client = segue_conn_data(conn);
  const void* input = NULL;
  size_t size = 0;
  if (segue_get(record, kTagInput, &input, &size) != SEGUE_OK || size >= kLineBytes) {
    return SEGUE_INVALID;
  }
  memcpy(client->input, input, size);
  client->size = size;
  return SEGUE_OK;
}

static int adopt_client(void* user, segue_conn* conn, int fd, const segue_record* record) {
  watch(fd, new_client(conn));
  return update_client(user, conn, record);
}

static void drop_client(void* user, segue_conn* conn) {
  (void)user;
  epoll_ctl(service.epoll, EPOLL_CTL_DEL, segue_conn_fd(conn), NULL);
  free(segue_conn_data(conn));
  --service.connections;
}

/* ---- Life cycle ---- */

static int listener_came(void* user, const char* name, int fd) {
  (void)user, (void)name;
  service.listener = fd;
  watch(fd, &service.listener);
  return SEGUE_OK;
}

static int freeze(void* user) {
  (void)user;
  chat("freeze");
  if (service.misbehaves & kSlowFreeze) usleep(50000);
  service.polls_clients = 0;
  return SEGUE_OK;
}

static void resume(void* user, segue_resume_reason reason, int released) {
  (void)user, (void)reason, (void)released;
  chat("resume");
  service.polls_clients = 1;
}

static int check(void* user, char* why, size_t size) {
  (void)user;
  if (!(service.misbehaves & kCheck)) return SEGUE_OK;
  snprintf(why, size, "the sum is odd");
  return SEGUE_INVALID;
}

static int acquire(void* user) {
  (void)user;
  return service.misbehaves & kAcquire ? SEGUE_SYSTEM : SEGUE_OK;
}

static void activate(void* user, const segue_activation* activation) {
  (void)user;
  chat("activate");
  service.polls_clients = 1;
  if (activation->first) return;
  if (service.misbehaves & kCrashActive) service.vote = -1;
  if (service.misbehaves & kHangActive) service.vote = -2;
  if (service.misbehaves & kVoteYes) service.vote = 1;
  if (service.misbehaves & kVoteNo) service.vote = 2;
}

static void terminate(void* user, segue_end_reason reason) {
  (void)user, (void)reason;
  chat("terminate");
  if (!(service.misbehaves & kStay)) service.ended = 1;
  service.polls_clients = 0;
}

/* What a misbehaving service does once it is active; not from within the callback. */
static void misbehave(void) {
  const int what = service.vote;
  service.vote = 0;
  if (what == -1) raise(SIGKILL);
  if (what == -2) raise(SIGSTOP);
  if (what == 1) segue_vote(service.handoff, 1, NULL);
  if (what == 2) segue_vote(service.handoff, 0, "the cache is cold");
}

static void run(void) {
  const int outer = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event handoff = {.events = EPOLLIN, .data.fd = segue_fd(service.handoff)};
  struct epoll_event clients = {.events = EPOLLIN, .data.fd = service.epoll};
  if (outer < 0 || epoll_ctl(outer, EPOLL_CTL_ADD, handoff.data.fd, &handoff) != 0 ||
      epoll_ctl(outer, EPOLL_CTL_ADD, service.epoll, &clients) != 0) {
    die("epoll");
  }
  int polled = 1;
  while (!service.ended) {
    if (polled != service.polls_clients) {
      clients.events = service.polls_clients ? EPOLLIN : 0;
      epoll_ctl(outer, EPOLL_CTL_MOD, service.epoll, &clients);
      polled = service.polls_clients;
    }
    struct epoll_event events[kMaxEvents];
    if (epoll_wait(outer, events, kMaxEvents, -1) < 0 && errno != EINTR) die("epoll_wait");
    segue_dispatch(service.handoff);
    if (service.vote != 0) misbehave();
    if (!service.polls_clients) continue;
    /* One at a time: serving one client can close it, and what is behind it would be stale. */
    if (epoll_wait(service.epoll, events, 1, 0) < 1) continue;
    if (events[0].data.ptr == &service.listener) {
      accept_clients();
    } else {
      serve_client(events[0].data.ptr);
    }
  }
}

static unsigned misbehaviour_of(const char* name) {
  for (size_t i = 0; i < sizeof kMisbehaviours / sizeof kMisbehaviours[0]; ++i) {
    if (!strcmp(kMisbehaviours[i].name, name)) return kMisbehaviours[i].bit;
  }
  die("unknown misbehaviour");
  return 0;
}

int main(int argc, char** argv) {
  const char* address = NULL;
  const char* name = "counter";
  uint32_t form_version = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--listen")) address = argv[i + 1];
    if (!strcmp(argv[i], "--version")) service.version = argv[i + 1];
    if (!strcmp(argv[i], "--service")) name = argv[i + 1];
    if (!strcmp(argv[i], "--form-version")) form_version = (uint32_t)atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--misbehave")) service.misbehaves |= misbehaviour_of(argv[i + 1]);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (address == NULL) die("--listen is missing");
  if (service.misbehaves & kExit) {
    fprintf(stderr, "counter: told to exit\n");
    return 3;
  }
  if (service.misbehaves & kMute) pause();
  service.epoll = epoll_create1(EPOLL_CLOEXEC);

  const segue_options options = {
      .size = sizeof options, .service = name, .version = service.version};
  const segue_callbacks callbacks = {.size = sizeof callbacks,
                                     .listener = listener_came,
                                     .freeze = freeze,
                                     .resume = resume,
                                     .check = check,
                                     .acquire = acquire,
                                     .activate = activate,
                                     .terminate = terminate};
  const segue_form counter_form = {.size = sizeof counter_form,
                                   .version = form_version,
                                   .oldest = form_version,
                                   .name = "counter"};
  const segue_form client_form = {
      .size = sizeof client_form, .version = 1, .oldest = 1, .name = "client"};
  const segue_table_ops table_ops = {.size = sizeof table_ops,
                                     .scan = scan_counters,
                                     .encode = encode_counter,
                                     .put = put_counter,
                                     .erase = erase_counter,
                                     .clear = clear_counters};
  const segue_class_ops class_ops = {.size = sizeof class_ops,
                                     .encode = encode_client,
                                     .adopt = adopt_client,
                                     .update = update_client,
                                     .drop = drop_client};
  char why[256] = "";
  service.handoff = segue_open(&options, &callbacks, NULL, why, sizeof why);
  if (service.handoff == NULL) die(why);
  service.table = segue_table_open(service.handoff, "counters", &counter_form, &table_ops, 0, NULL);
  service.clients = segue_class_open(service.handoff, "clients", &client_form, &class_ops, NULL);
  if (service.table == NULL || service.clients == NULL) die(segue_error(service.handoff));
  if (segue_listen(service.handoff, "main", address, 128) != SEGUE_OK ||
      segue_start(service.handoff) != SEGUE_OK) {
    die(segue_error(service.handoff));
  }
  run();
  return 0;
}
