/* SPDX-License-Identifier: Apache-2.0
 *
 * libsegue: hand a running service over to its next version.
 *
 * A service opens one `segue_instance`, declares what it owns (listeners, connections, other file
 * descriptors, arenas, tables of records), calls segue_start() and from then on calls
 * segue_dispatch() whenever segue_fd() is readable. The library decides whether this process is the
 * first instance or a successor. As a successor it receives everything the predecessor owns while
 * the predecessor goes on serving; then `activate` is called, and the process serves. When a
 * successor of its own arrives, the same process plays the predecessor.
 *
 * Threads    One `segue_instance` and everything made from it belongs to one thread, the
 * instance's. Every callback runs inside segue_start() or segue_dispatch(), on that thread, hence
 * at a request boundary. A service with several event loops declares the others: see "Event loops".
 * Errors     Functions that return int return SEGUE_OK (0) or a negative `segue_status`;
 *            segue_error() has the text: what failed, on what, why.
 * Ownership  Strings and structures passed in are copied. Pointers passed to callbacks are valid
 *            until the callback returns. A file descriptor is owned by who the text says owns it.
 * Memory     Exhaustion aborts the process; everything that a peer sends is bounded beforehand.
 * Names      Listener, descriptor, table, class and form names: 1..63 bytes of [A-Za-z0-9._:-].
 *
 * The protocol between two instances is specified in protocol/handoff.md.
 */
#ifndef SEGUE_SEGUE_H
#define SEGUE_SEGUE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SEGUE_API __attribute__((visibility("default")))
#else
#define SEGUE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when functions or trailing structure members are added; never changes what exists. */
#define SEGUE_API_VERSION 1

typedef struct segue_instance segue_instance;
typedef struct segue_table segue_table;
typedef struct segue_class segue_class;
typedef struct segue_conn segue_conn;
typedef struct segue_arena segue_arena;
typedef struct segue_loop segue_loop;
typedef struct segue_operations segue_operations;
typedef struct segue_record segue_record; /* fields being read */
typedef struct segue_writer segue_writer; /* fields being written */
typedef struct segue_scan segue_scan;     /* keys being listed */

typedef enum segue_status {
  SEGUE_OK = 0,
  SEGUE_INVALID = -1, /* an argument is outside what its text allows */
  SEGUE_STATE = -2,   /* not now: the text says in which phase */
  SEGUE_SYSTEM = -3,  /* the kernel said no; errno is kept */
  SEGUE_REFUSED = -4, /* the peer or this side refuses the handoff; nothing was touched */
  SEGUE_TIMEOUT = -5, /* a deadline passed */
  SEGUE_PEER = -6,    /* the peer broke the protocol, or ended */
  SEGUE_LIMIT = -7,   /* a bound was reached: size, count, descriptors */
  SEGUE_GONE = -8     /* there is no such record (any more) */
} segue_status;

/* ---- Records --------------------------------------------------------------------------------
 * A record is a set of fields, each a tag (1..65535) and bytes. The meaning of a tag belongs to the
 * form. A tag may occur more than once; the order among equal tags is kept, fields are put in
 * ascending order of tag when the record is finished, so equal records are equal bytes.
 */

/* Finds the first field `tag`. SEGUE_OK and *data, *size (valid as long as the record), or
 * SEGUE_GONE with both untouched. */
SEGUE_API int segue_get(const segue_record* record, uint32_t tag, const void** data, size_t* size);
/* The number in the first field `tag`; `otherwise` where it is missing or not a number. */
SEGUE_API uint64_t segue_get_u64(const segue_record* record, uint32_t tag, uint64_t otherwise);
SEGUE_API int64_t segue_get_i64(const segue_record* record, uint32_t tag, int64_t otherwise);
/* Visits all fields in order. *cursor starts at 0. SEGUE_OK, or SEGUE_GONE after the last one. */
SEGUE_API int segue_next(const segue_record* record, size_t* cursor, uint32_t* tag,
                         const void** data, size_t* size);
/* The fields whose tags are not among the `count` in `known`, as bytes for segue_put_fields():
 * keep them with the object and write them back, and what a newer version stored survives a visit
 * to this one. Returns the bytes needed, having written at most `size` of them to `out` (call
 * with size 0 first; 0 is the usual answer). */
SEGUE_API size_t segue_unknown(const segue_record* record, const uint32_t* known, size_t count,
                               void* out, size_t size);

SEGUE_API void segue_put(segue_writer* writer, uint32_t tag, const void* data, size_t size);
SEGUE_API void segue_put_u64(segue_writer* writer, uint32_t tag, uint64_t value);
SEGUE_API void segue_put_i64(segue_writer* writer, uint32_t tag, int64_t value);
/* Writes fields that segue_unknown() returned. */
SEGUE_API void segue_put_fields(segue_writer* writer, const void* fields, size_t size);

/* ---- Forms ----------------------------------------------------------------------------------
 * The versioned intermediate form of a piece of state. A program encodes and decodes one version
 * of a form; converters take a record one version up or down. Two programs meet in the highest
 * version that the predecessor can write and the successor can read. If there is none, the handoff
 * is refused by the form's name before anything is touched.
 */

/* Reads `in`, a record of version `from`, and writes the same record one version higher (`up`) or
 * lower (`down`). Fields that the other version has no place for should be copied under their own
 * tag: who does not know a tag keeps it. Returns SEGUE_OK, or an error that ends the handoff. */
typedef int (*segue_convert)(void* user, uint32_t from, const segue_record* in, segue_writer* out);

/* What people call a field. Without it they read "field 13". */
typedef struct segue_form_field {
  uint32_t tag;
  uint32_t since; /* the first version of the form that knows it */
  const char* name;
} segue_form_field;

typedef struct segue_form {
  uint32_t size;    /* sizeof(segue_form) */
  uint32_t version; /* what encode writes and decode reads; >= 1 */
  uint32_t oldest;  /* the oldest version that the converters reach; 1..version */
  const char* name;
  segue_convert up; /* NULL where oldest == version */
  segue_convert down;
  void* user;
  /* Before state goes to a program with an older version of the form, the library says what that
   * one cannot hold: it takes each record down and up again, with these converters, and counts the
   * fields that do not come back as they were. So a field that `down` leaves out is a loss, and one
   * that it copies for the older program to keep is none, though that one does not keep it current.
   * The converters may be called at any time, for this, while the service serves. */
  const segue_form_field* fields; /* copied; may be NULL */
  uint32_t field_count;
} segue_form;

/* ---- Life cycle ----------------------------------------------------------------------------- */

typedef enum segue_resume_reason {
  SEGUE_RESUME_LATE = 1,      /* over budget or past the deadline; another round may follow */
  SEGUE_RESUME_DECLINED = 2,  /* the successor declined: its invariant or a resource failed */
  SEGUE_RESUME_ABORTED = 3,   /* the successor died or was stopped before it was active */
  SEGUE_RESUME_RECLAIMED = 4, /* the successor was active and died or hung; what it did since it
                                 was activated is not in this process, but for raw arenas, which
                                 it shared: they are as it left them */
  SEGUE_RESUME_REPLAYED = 5,  /* likewise, and what it did was done again here: see replay.h */
  SEGUE_RESUME_FROM_ARENAS =
      6 /* likewise, and arenas and heaps are as it left them: see replay.h */
} segue_resume_reason;

typedef enum segue_end_reason {
  SEGUE_END_COMMITTED = 1, /* predecessor: the successor serves for good */
  SEGUE_END_REFUSED = 2,   /* successor: the handoff did not happen; segue_error() says why */
  SEGUE_END_REHEARSED = 3, /* successor: a rehearsal ended well */
  SEGUE_END_STOPPED = 4,   /* the operator stops the service */
  SEGUE_END_CRASHED = 5    /* predecessor: the successor died or hung in probation, and this
                              process is not to serve again: see SEGUE_ON_CRASH_RESTART */
} segue_end_reason;

typedef struct segue_activation {
  uint32_t size;
  uint32_t first;       /* 1: first instance, nothing was received */
  uint64_t epoch;       /* grows by at least 1 with every change of owner */
  uint64_t blackout_ns; /* predecessor's freeze -> now; 0 for the first instance */
} segue_activation;

typedef enum segue_phase {
  SEGUE_PHASE_IDLE = 0, /* no handoff under way */
  SEGUE_PHASE_MEETING = 1,
  SEGUE_PHASE_BACKGROUND = 2,
  SEGUE_PHASE_REHEARSAL = 3,
  SEGUE_PHASE_FOREGROUND = 4,
  SEGUE_PHASE_PROBATION = 5,
  SEGUE_PHASE_COMMITTED = 6,
  SEGUE_PHASE_ENDED = 7 /* refused, aborted, rehearsed: `outcome` of segue_progress says which */
} segue_phase;

typedef struct segue_progress {
  uint32_t size;
  uint32_t phase;    /* segue_phase */
  uint32_t rounds;   /* background rounds acknowledged by the successor */
  uint32_t attempts; /* times frozen, the last one included */
  uint64_t records;  /* sent (predecessor) or received (successor) */
  uint64_t bytes;
  uint64_t fds;
  uint64_t connections;   /* open; from the activation on those that were handed over, as clients
                           * come and go */
  uint64_t predicted_ns;  /* predicted blackout */
  uint64_t blackout_ns;   /* measured; 0 until activated */
  uint64_t frozen_max_ns; /* longest frozen interval of the attempts that were taken back */
  /* After SEGUE_RESUME_REPLAYED: */
  uint64_t replayed;          /* pieces of input that were handled again */
  uint64_t repaired;          /* connections whose answer was completed */
  uint64_t closed_on_reclaim; /* connections that could not be repaired; also after
                                 SEGUE_RESUME_FROM_ARENAS, before SEGUE_END_CRASHED and, of those
                                 that the successor had accepted, after SEGUE_RESUME_RECLAIMED */
  /* A successor without a keeper, after the commit: since when the predecessor, which ends at low
   * priority, has not ended. Told when it is more than 1 s (segue_error() says more), when its
   * priority is raised after 10 s, and, as 0, when it has ended. */
  uint64_t predecessor_lingers_ms;
} segue_progress;

/* What the library tells the service. Members may be NULL where the text does not say otherwise. */
typedef struct segue_callbacks {
  uint32_t size; /* sizeof(segue_callbacks) */

  /* A listener declared with segue_listen() is there: bound now, or the predecessor's. The fd is
   * the library's; it stays valid until segue_unlisten() or the end. Register it, do not accept
   * from it before `activate`. -1: the predecessor closed it since. */
  int (*listener)(void* user, const char* name, int fd);

  /* A descriptor that the predecessor registered with segue_fd_put() has come. The library owns
   * it; dup() it to keep it beyond segue_fd_take_back(). -1: the predecessor took it back since. */
  int (*descriptor)(void* user, const char* name, int fd);

  /* Predecessor: stop. From here to `resume` (which also follows when this fails) read, write,
   * accept and change nothing, poll nothing but segue_fd(). Must not block. An error takes the
   * attempt back. Required. */
  int (*freeze)(void* user);

  /* Predecessor, after `freeze`: give up what only one process may hold (ports without sharing,
   * file locks, devices), so that the successor can take it in `acquire`. */
  int (*release)(void* user);

  /* Predecessor: go on; take back what `release` gave up (`released` is 1 if it was called).
   * Required. */
  void (*resume)(void* user, segue_resume_reason reason, int released);

  /* Successor: verify the service's own invariants over everything received. Called in the
   * rehearsal, on a consistent snapshot. An error ends the handoff; put the reason in `why`. */
  int (*check)(void* user, char* why, size_t why_size);

  /* Take single-access resources: in the first instance before `activate`, in a successor in the
   * blackout. An error declines; the predecessor
   * goes on. If the handoff is taken back after `acquire`, `yield` is called. */
  int (*acquire)(void* user);
  void (*yield)(void* user);

  /* Serve. Required. Must not block. */
  void (*activate)(void* user, const segue_activation* activation);

  /* End the process soon, without a word to any client: leave the loop, do not shutdown() or
   * free at length. After SEGUE_END_COMMITTED the process already runs at idle priority. Required.
   */
  void (*terminate)(void* user, segue_end_reason reason);

  /* Something moved on; for people. Called at most every 50 ms within a phase. */
  void (*progress)(void* user, const segue_progress* progress);

  /* Replay: a note that the successor made by itself, such as the time of a turn of its loop. */
  void (*replay_note)(void* user, uint32_t tag, const void* data, size_t size);

  /* Predecessor, with SEGUE_ON_CRASH_ARENAS: the successor is dead, arenas and heaps are as it left
   * them, everything else is as at the freeze. Verify the service's own invariants over them, as in
   * `check` through segue_heap_copy() and segue_heap_next(): the successor may have died between
   * any two of its instructions. An error, with the reason in `why`: see replay.h. */
  int (*check_arenas)(void* user, char* why, size_t why_size);
} segue_callbacks;

/* What a predecessor does when its successor dies or hangs in probation. */
typedef enum segue_on_crash {
  SEGUE_ON_CRASH_RESUME = 0, /* goes on from its freeze; what the successor did is lost, and the
                                service closes the connections that it used */
  SEGUE_ON_CRASH_REPLAY = 1, /* nothing is lost: see replay.h */
  SEGUE_ON_CRASH_ARENAS = 2, /* goes on with the arenas and heaps as the successor left them: see
                                replay.h */
  SEGUE_ON_CRASH_RESTART = 3 /* does not go on: every connection is closed with a reset and
                                counted, `terminate` is called with SEGUE_END_CRASHED, and the
                                keeper, which holds the listeners, starts this program again,
                                without its state: new connections wait, none is refused. Without a
                                keeper, who started this process has to start it again. */
} segue_on_crash;

typedef enum segue_meeting {
  SEGUE_MEET_PREDECESSOR_LISTENS = 0, /* DIRECTORY/handoff.sock; the successor polls for it */
  SEGUE_MEET_SUCCESSOR_LISTENS = 1    /* DIRECTORY/successor.sock; the predecessor polls for it */
} segue_meeting;

/* Zero means the default, which stands behind each member. */
typedef struct segue_options {
  uint32_t size;       /* sizeof(segue_options) */
  const char* service; /* required: both sides must name the same service */
  const char* version; /* required: this program's version, for people */

  /* Meeting. Under the keeper (SEGUE_KEEPER_FD in the environment) all of this is ignored. */
  const char* directory;     /* where instances meet alone; 0700, owned by this user; made if
                                missing. NULL: SEGUE_DIRECTORY of the environment; if that is unset
                                too the process is always first and never hands over. */
  uint32_t meeting;          /* segue_meeting; both sides must agree */
  const char* flag;          /* a path; if set, the predecessor meets nobody while it is missing */
  uint32_t poll_interval_ms; /* 100: for sockets and flag */

  /* Bounds, predecessor's side. The keeper's words override them. */
  uint32_t budget_us;      /* 10,000: the longest blackout */
  uint32_t max_rounds;     /* 30: background rounds before giving up */
  uint32_t max_attempts;   /* 5: freezes before giving up */
  uint32_t background_ms;  /* 300,000: deadline of the background phase */
  uint32_t rehearsal_ms;   /* 60,000 */
  uint32_t answer_ms;      /* 5,000: the longest wait for one answer of the peer */
  uint32_t slice_us;       /* 500: the longest that one segue_dispatch() works in background */
  uint32_t probation_ms;   /* 2,000 */
  uint32_t hang_ms;        /* 3,000: an active successor that says nothing for so long in
                              probation is fenced, and the predecessor goes on */
  uint32_t vote_required;  /* 1: probation ends only after segue_vote(s, 1, NULL) */
  uint32_t spin_us;        /* 2,000: how long a successor busy-waits for the final records */
  uint32_t skip_rehearsal; /* 1: no rehearsal */

  uint32_t on_crash;      /* segue_on_crash; a successor follows its predecessor's word */
  uint64_t journal_bytes; /* 16 MiB: what a successor can record in probation, of shared memory that
                             is freed at its end; 64 KiB to 1 GiB. The predecessor's word counts */
} segue_options;

/* Returns NULL when an option is invalid or memory cannot be mapped; errno is set and the reason is
 * written to `why` where it is not NULL. `callbacks` and `options` are copied. */
SEGUE_API segue_instance* segue_open(const segue_options* options, const segue_callbacks* callbacks,
                                     void* user, char* why, size_t why_size);

/* Declarations end here. Meets the keeper or a predecessor; where there is neither, the process is
 * the first instance, and `activate` is called before this returns. */
SEGUE_API int segue_start(segue_instance* s);

/* The one descriptor to poll for reading; constant, owned by the library, level-triggered. */
SEGUE_API int segue_fd(const segue_instance* s);

/* Call it last of what one turn of the service's loop does, or look at segue_is_active() after it:
 * events that were fetched before must not be handled once the process is frozen.
 *
 * Does what is due and returns soon: at most slice_us of work while this process serves; a
 * successor that waits for the final records may stay for spin_us. Returns SEGUE_OK, or an error
 * that ended a handoff (already reported through `resume` or `terminate`), or SEGUE_STATE inside a
 * callback. */
SEGUE_API int segue_dispatch(segue_instance* s);

/* 1 from `activate` to `freeze` and from `resume` on. */
SEGUE_API int segue_is_active(const segue_instance* s);

/* The service's own word in probation: 1 good (see vote_required), 0 bad: the keeper hands back to
 * the previous version; where there is no keeper, `terminate` is called and the predecessor goes on
 * as soon as this process has ended. SEGUE_STATE: a bad vote that comes too late, for the
 * predecessor was told to end; nothing happens. */
SEGUE_API int segue_vote(segue_instance* s, int good, const char* why);

/* The newest error text; never NULL; valid until the next call. */
SEGUE_API const char* segue_error(const segue_instance* s);

/* The state of the handoff under way, or of the last one. Set progress->size to
 * sizeof(segue_progress) before: no more than that is written. */
SEGUE_API void segue_get_progress(const segue_instance* s, segue_progress* progress);

/* The service is about to end by itself (SIGTERM): a handoff under way in which it is not yet
 * handed over is ended in words, so that the other side does not take it for a crash. */
SEGUE_API int segue_stop(segue_instance* s);

/* Closes what the library owns. Sends no FIN as long as another instance holds the connections.
 * Not inside a callback of segue_start(), segue_dispatch(), segue_vote() or segue_stop(): that
 * aborts. */
SEGUE_API void segue_free(segue_instance* s);

/* ---- Listeners and other descriptors --------------------------------------------------------- */

/* Declares a listening socket, before segue_start(). `address`: "tcp:127.0.0.1:6379",
 * "tcp:[::1]:6379", "udp:0.0.0.0:53", "unix:/path", "unixgram:/path". An instance with a
 * predecessor takes the predecessor's socket of that name, whatever its address; without, it is
 * bound and comes through `listener`. */
SEGUE_API int segue_listen(segue_instance* s, const char* name, const char* address, int backlog);

/* Adds a listening socket that the service bound or inherited itself; takes ownership of fd. */
SEGUE_API int segue_listen_fd(segue_instance* s, const char* name, int fd);

/* Closes the listener here and, during a handoff, in the successor. */
SEGUE_API int segue_unlisten(segue_instance* s, const char* name);

/* Registers any other descriptor under a name: file, pipe, timerfd, eventfd, socket. Takes
 * ownership. Replaces one of the same name. Offsets, locks and flags are shared with the successor,
 * as dup() shares them. SEGUE_REFUSED for a ring of io_uring: it belongs to the process that made
 * it (the caller keeps it); see "Operations in flight". */
SEGUE_API int segue_fd_put(segue_instance* s, const char* name, int fd);
/* Forgets and closes it here; a successor that already received it is told. */
SEGUE_API int segue_fd_take_back(segue_instance* s, const char* name);

/* ---- Arenas ----------------------------------------------------------------------------------
 * Memory that is passed and never copied: one shared mapping of `max_size` bytes, of which pages
 * are used as they are touched. Sealed: it can neither shrink nor grow beyond max_size. Before
 * `activate` a successor must not write to it; after `freeze` a predecessor must not.
 */

/* Declares it, before segue_start(). max_size is rounded up to whole pages. The form's version must
 * be equal on both sides or the handoff is refused: the bytes are not converted. */
SEGUE_API segue_arena* segue_arena_open(segue_instance* s, const char* name, uint32_t form_version,
                                        size_t max_size);
/* NULL before it is there: from segue_start() in the first instance, from `check` on in a
 * successor. The address may differ between instances: store offsets in it, not pointers. */
SEGUE_API void* segue_arena_data(const segue_arena* arena);
/* How many bytes from the start are in use: the successor populates exactly these. */
SEGUE_API size_t segue_arena_used(const segue_arena* arena);
SEGUE_API int segue_arena_set_used(segue_arena* arena, size_t used);
/* The memfd behind it, -1 before it is there; owned by the library. To share the arena with other
 * processes: they go on with the same memory over any number of handoffs. */
SEGUE_API int segue_arena_fd(const segue_arena* arena);

/* The service's own invariant over an arena's bytes. Called in a successor in the blackout, when
 * the predecessor is frozen and nothing changes any more: it must be brief. An error declines the
 * handoff, with the reason in `why`, and the predecessor goes on. (`check` of segue_callbacks may
 * look at an arena too, but the predecessor is writing to it then.) Clients that share the arena
 * may write at any time. */
typedef int (*segue_arena_check)(void* user, const void* data, size_t used, char* why,
                                 size_t why_size);
SEGUE_API void segue_arena_set_check(segue_arena* arena, segue_arena_check check, void* user);

/* ---- Items of older versions -----------------------------------------------------------------
 * A table, arena or heap that a predecessor has and this version does not declare ends the handoff,
 * lest it be lost unnoticed. This says that it is meant to be: nothing of it is sent, and the
 * rehearsal leaves it out. Before segue_start(). Connections cannot be retired. After the commit
 * the data is gone: an undo hands over to the older version with this item empty. */
SEGUE_API int segue_retire(segue_instance* s, const char* name);

/* ---- Tables ----------------------------------------------------------------------------------
 * A record must depend on the state alone: absolute times, not what is left of them; and a change
 * that nobody told (an expiry found later) is a difference that ends the rehearsal.
 * Records by key. The service owns the data in its own structures; the library asks for keys and
 * records when it needs them. segue_table_put() and segue_table_erase() cost one branch while no
 * handoff is under way.
 */
typedef struct segue_table_ops {
  uint32_t size; /* sizeof(segue_table_ops) */

  /* Lists keys with segue_scan_key(), about `max_keys` of them, and moves *cursor on; 0 starts.
   * Returns 1 while there are more, 0 at the end, or an error. A record that exists during the
   * whole scan and is neither put nor erased meanwhile is listed at least once. */
  int (*scan)(void* user, uint64_t* cursor, uint32_t max_keys, segue_scan* scan);

  /* Writes the record of `key`; SEGUE_GONE if there is none. */
  int (*encode)(void* user, const void* key, size_t key_size, segue_writer* out);

  /* Successor: insert or replace. */
  int (*put)(void* user, const void* key, size_t key_size, const segue_record* record);
  /* Successor: remove; a key that is not there is no error. */
  int (*erase)(void* user, const void* key, size_t key_size);
  /* Successor: remove all; the handoff starts again, or this process starts clean because the
   * predecessor died, or the predecessor called segue_table_clear(). */
  void (*clear)(void* user);
} segue_table_ops;

#define SEGUE_TABLE_REBUFFED                                          \
  1u /* no dirty tracking: refuse changes while segue_table_rebuffs() \
      */

/* Declares a table, before segue_start(). Returns NULL on an invalid argument. */
SEGUE_API segue_table* segue_table_open(segue_instance* s, const char* name, const segue_form* form,
                                        const segue_table_ops* ops, uint32_t flags, void* user);
/* Call after each change: the record was inserted, changed, or erased. */
SEGUE_API void segue_table_put(segue_table* table, const void* key, size_t key_size);
SEGUE_API void segue_table_erase(segue_table* table, const void* key, size_t key_size);
/* Call after all records were erased at once: one word in place of a segue_table_erase() for each.
 * The successor's `clear` is called; where it has none, or is of a libsegue that does not know this
 * word, the handoff ends and the predecessor goes on. */
SEGUE_API void segue_table_clear(segue_table* table);
/* 1 while changes to a SEGUE_TABLE_REBUFFED table must be refused by the service. */
SEGUE_API int segue_table_rebuffs(const segue_table* table);
SEGUE_API void segue_scan_key(segue_scan* scan, const void* key, size_t key_size);

/* ---- Connections -----------------------------------------------------------------------------
 * A descriptor and a record. The descriptor travels once, the record whenever it was touched.
 */
typedef struct segue_class_ops {
  uint32_t size; /* sizeof(segue_class_ops) */

  /* Writes what the successor needs beyond the descriptor: partially read requests, partially
   * written answers, the session. */
  int (*encode)(void* user, segue_conn* conn, segue_writer* out);

  /* Successor: a connection has come. Build the object, segue_conn_set_data(), register fd in an
   * epoll instance that is not waited on before `activate`. The library owns fd. */
  int (*adopt)(void* user, segue_conn* conn, int fd, const segue_record* record);
  /* Successor: its record changed at the predecessor. */
  int (*update)(void* user, segue_conn* conn, const segue_record* record);
  /* Successor: the predecessor closed it. Replay: it cannot be repaired, or the successor had
   * closed it. The library closes fd afterwards; conn is gone then. */
  void (*drop)(void* user, segue_conn* conn);

  /* Replay: handle it as when it is readable; segue_read() has what the successor read. Called
   * again as long as something is left. */
  void (*readable)(void* user, segue_conn* conn);
  /* Replay: write what waits to be written, if anything does. */
  void (*writable)(void* user, segue_conn* conn);
  /* Replay: the successor had accepted this connection and called segue_conn_add(): do what is
   * done then. The library owns fd. */
  int (*accepted)(void* user, segue_conn* conn, int fd);
} segue_class_ops;

/* Declares a class of connections, before segue_start(). */
SEGUE_API segue_class* segue_class_open(segue_instance* s, const char* name, const segue_form* form,
                                        const segue_class_ops* ops, void* user);
/* Registers an open descriptor; takes ownership. NULL only when fd is negative or the process may
 * have no more than 2^24 connections; the caller then still owns fd. */
SEGUE_API segue_conn* segue_conn_add(segue_class* cls, int fd, void* data);
/* Its record changed: there is partial input or unsent output, or the session is another. */
SEGUE_API void segue_conn_touch(segue_conn* conn);

typedef enum segue_close_how {
  SEGUE_CLOSE_FIN = 0, /* orderly: what was written is delivered, then end of stream */
  SEGUE_CLOSE_RST = 1  /* at once; TCP peers see a reset, others end of stream */
} segue_close_how;

/* Closes it so that the peer sees it at once even while another process holds the same socket
 * (a plain close() would not), and closes the descriptor. conn is invalid afterwards.
 * Remove the descriptor from every epoll instance before (EPOLL_CTL_DEL), here and in `drop`: while
 * another process holds the same open file, close() alone leaves it there. */
SEGUE_API int segue_conn_close(segue_conn* conn, segue_close_how how);

SEGUE_API int segue_conn_fd(const segue_conn* conn);
SEGUE_API void* segue_conn_data(const segue_conn* conn);
SEGUE_API void segue_conn_set_data(segue_conn* conn, void* data);
/* Slot and generation: the same in predecessor and successor; unique for the life of the service.
 * Use it in records that refer to connections (subscriptions, waiters); before `activate` such a
 * connection may not be there yet, or no longer. */
SEGUE_API uint64_t segue_conn_id(const segue_conn* conn);
/* The connection of that id, or NULL. */
SEGUE_API segue_conn* segue_conn_find(segue_instance* s, uint64_t id);

/* ---- Event loops -----------------------------------------------------------------------------
 * For a service with one event loop per thread. The loop of the instance's thread is not declared;
 * each other one is. Loops are this process's own: a successor may have more of them, or fewer, and
 * spreads the connections that it adopts over its own.
 *
 * Where       What is bound to a loop is touched on that loop's thread only. The instance's thread
 * borrows the loop when it needs the records of it: it asks through segue_loop_fd(), the loop's
 * thread waits inside segue_loop_dispatch(), and meanwhile scan and encode run. In the background
 * that takes slice_us at most. Before `freeze`, and for the mark of a rehearsal, it borrows all
 * loops at once; if one does not come within half the budget, the attempt is taken back, and the
 * reason names the loop. From `freeze` to `resume` all loops wait. Callbacks that are not about
 * one item (freeze, release, resume, check, acquire, yield, activate, terminate) thus find every
 * loop waiting and may touch everything; `progress` does not.
 * Successor   Until `activate` every loop waits in its first segue_loop_dispatch().
 * Not bound   A table that is bound to no loop may be marked by any thread. The service guards the
 * data by a lock of its own, takes that lock in scan and encode too, and marks a change before it
 * releases the lock.
 * Any thread  segue_table_put(), segue_table_erase(), segue_table_clear(), segue_table_rebuffs(),
 * segue_conn_touch(), segue_conn_find(), segue_conn_fd(), segue_conn_data(), segue_conn_id(),
 * segue_conn_add_to() (on the thread of the loop given) and segue_conn_close() (on the thread of
 * the loop that the connection is bound to). A connection that another thread may close must be
 * kept from that by the service's own lock. All else belongs to the instance's thread.
 */

/* Declares an event loop, before segue_start() and before its thread begins. The loop is freed with
 * the instance: end the thread before segue_free(). NULL if the name is invalid or taken, or there
 * is no descriptor left. */
SEGUE_API segue_loop* segue_loop_open(segue_instance* s, const char* name);
/* For the loop's thread to poll for reading; constant, owned by the library. */
SEGUE_API int segue_loop_fd(const segue_loop* loop);
/* On the loop's thread: before it touches anything for the first time, and whenever
 * segue_loop_fd() is readable, as the last of what one turn of the loop does. Hold no lock. Waits
 * while the instance's thread has the loop. SEGUE_OK: go on; events that were fetched before must
 * not be handled. SEGUE_GONE: the service ends here (`terminate`, segue_stop()); touch nothing any
 * more. */
SEGUE_API int segue_loop_dispatch(segue_loop* loop);

/* Binds a table to a loop, before segue_start(). Returns SEGUE_STATE after it. */
SEGUE_API int segue_table_bind(segue_table* table, segue_loop* loop);
/* As segue_conn_add(), on the loop's thread, for a connection that is bound to the loop. */
SEGUE_API segue_conn* segue_conn_add_to(segue_class* cls, segue_loop* loop, int fd, void* data);
/* Binds an adopted connection, inside a callback that finds every loop waiting, or inside `adopt`.
 * NULL: to the instance's thread. */
SEGUE_API int segue_conn_bind(segue_conn* conn, segue_loop* loop);

/* ---- Operations in flight --------------------------------------------------------------------
 * What goes on outside the turns of the service's loops with this process's memory: reads and
 * writes submitted to io_uring, work in a pool of threads. The library cannot see it, and what ends
 * after the freeze ends unseen: the service counts. A freeze waits until nothing is in flight; if
 * that takes longer than half the budget, the attempt is taken back, and the reason has the name.
 */
typedef struct segue_operations_ops {
  uint32_t size; /* sizeof(segue_operations_ops) */

  /* A freeze is near: begin no more of them, and cancel those that may wait for long, such as a
   * read that no peer answers. Every loop runs. */
  void (*drain)(void* user);
  /* The freeze did not come about, or this process goes on after it (`resume` was called before):
   * begin them again. Once after each `drain`, unless `terminate` is called. */
  void (*go_on)(void* user);
} segue_operations_ops;

/* Declares a kind of operation, before segue_start(). `ops`, or each of its members, may be NULL:
 * then the library only waits. NULL if an argument is invalid or the name is taken. */
SEGUE_API segue_operations* segue_operations_open(segue_instance* s, const char* name,
                                                  const segue_operations_ops* ops, void* user);
/* So many more, or (negative) fewer, are in flight: count one before it is submitted, and off when
 * its outcome has been dealt with, connections touched and tables marked. Any thread. */
SEGUE_API void segue_operations_add(segue_operations* operations, int64_t change);

#ifdef __cplusplus
}
#endif

#include <segue/replay.h>

#endif /* SEGUE_SEGUE_H */
