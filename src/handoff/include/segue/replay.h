/* SPDX-License-Identifier: Apache-2.0
 *
 * Undo after a crash in probation; included by segue.h.
 *
 * A successor may die after it consumed input and before it answered. With
 * segue_options.on_crash == SEGUE_ON_CRASH_REPLAY on both sides it keeps a journal of what it
 * consumes, sends and accepts until the commit, in memory that the predecessor finds. If it dies or
 * hangs, the predecessor goes back to the state of its freeze and does all of it again with its own
 * code: `readable` with the bytes that the successor read; what the service then writes and the
 * successor had sent already goes nowhere, the rest to the client. So each request is executed
 * exactly once as clients see it, no acknowledged write is lost, and an answer that was sent by
 * half is completed. Then `resume` is called with SEGUE_RESUME_REPLAYED.
 *
 * What a service has to do for it:
 *   - all input and output of connections goes through segue_read() and segue_write();
 *   - its doings depend on nothing but its state, that input and its notes: the time, random
 *     numbers and whatever else another process would not get again go through segue_note();
 *   - each class has `readable`, `writable`, `accepted` and `drop`;
 *   - with several event loops, all of that happens in turns: see below; what threads beside them
 *     do is not recorded;
 *   - no raw arena (segue_arena_open): both processes share its memory, where what the successor
 *     did stays and would be done twice. segue_start() refuses it. Heaps go back to the freeze.
 *
 * A connection is closed with a reset, after its recorded requests were executed, and counted
 * (segue_progress.closed_on_reclaim) if what the service writes now differs from what was sent; if
 * the successor died in the middle of an operation on a socket whose kernel does not count (any but
 * TCP); or if it was accepted by the successor and its descriptor had not arrived. One that the
 * kernel had accepted, and of which the library had not been told by segue_conn_add(), is known to
 * nobody: it ends with the successor and is not counted. Where there is
 * no journal (an older peer, other options, more in it than journal_bytes, a successor that began a
 * handoff of its own) the predecessor goes on as with SEGUE_ON_CRASH_RESUME.
 *
 * Several event loops
 *
 * What a loop does between two looks at its poll is its turn, from segue_turn_begin() to
 * segue_turn_end(). While a successor records, the turns of all loops go one after the other, first
 * come, first served; so the journal is one row, as of one loop, and names no loop. Otherwise the
 * two calls cost a branch, and turns overlap: the service's own locks stay. The predecessor does
 * all of it again on the instance's thread while its loops wait, in the order of the journal. It
 * may have more loops than the successor had, or fewer, or one. What a service has to keep to:
 *   - accepting, segue_read(), segue_write(), segue_note(), segue_conn_add(), segue_conn_add_to(),
 *     segue_conn_close(), and whatever is done to state that an answer may depend on, happen inside
 *     turns, on any thread; or inside `activate`. If one of these calls comes from outside, the
 *     record ends there, visibly, and the predecessor goes on as with SEGUE_ON_CRASH_RESUME;
 *   - no answer depends on which loop gives it, or on how many there are;
 *   - what one loop leaves to another (output for a connection of its, in an inbox) is only sent or
 *     closed there. Everything else that follows from an input is done in the turn of that input,
 * or begins with a note, which comes back through `replay_note` in its place;
 *   - `readable` and `writable` do for the connection what its loop would do. While replaying, a
 *     service leaves the inboxes alone: where the successor's loop sent something from its inbox,
 *     `writable` is called;
 *   - `accepted` gives the connection to a loop (segue_conn_bind()).
 *
 * Going on from arenas
 *
 * With SEGUE_ON_CRASH_ARENAS the predecessor goes on with arenas and heaps as the successor left
 * them: what clients were told of what lies there stays true. For services that keep all of their
 * state there: tables and whatever is in the process's own memory are as at the freeze. It is asked
 * first whether what was left can be used:
 *   - the successor had the same form version of each heap: otherwise it had one of its own;
 *   - no heap was left in the middle of a call of heap.h (the library knows);
 *   - each arena's own check (segue_arena_set_check) and the callback `check_arenas` are content.
 * If so, `resume` is called with SEGUE_RESUME_FROM_ARENAS. If not, heaps go back to the freeze, and
 * `resume` is called with SEGUE_RESUME_RECLAIMED; a service that has raw arenas, which cannot go
 * back, ends as with SEGUE_ON_CRASH_RESTART.
 *
 * Which connections the successor used is recorded, but not what went over them: each of these is
 * closed with a reset, through `drop`, before `resume`, and counted
 * (segue_progress.closed_on_reclaim), together with those that the successor had accepted. Whoever
 * was not answered cannot know whether it was done. The others go on. Where there is no such record
 * (an older successor), all are closed. What a service has to do for it: segue_read() and
 * segue_write(), `check_arenas`, a `drop` for each class, one event loop.
 */
#ifndef SEGUE_REPLAY_H
#define SEGUE_REPLAY_H

#include <segue/segue.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As recv() and send() with MSG_NOSIGNAL (read() and write() for what is no socket): -1 and errno,
 * or how many bytes, which may be fewer than asked for. */
SEGUE_API ssize_t segue_read(segue_conn* conn, void* data, size_t size);
SEGUE_API ssize_t segue_write(segue_conn* conn, const void* data, size_t size);

/* `size` bytes in `data` (which has room for `capacity`) are something that this service could not
 * find out again: they are recorded. While the service does again what it did, they are replaced by
 * what was recorded in this place; where the next note has another tag, they are left. Returns the
 * size of what stands there now. A note that the service does not ask for while it handles what
 * stands before it in the journal goes to `replay_note`. */
SEGUE_API size_t segue_note(segue_instance* s, uint32_t tag, void* data, size_t size,
                            size_t capacity);

/* A turn of one of the service's event loops begins, and ends, on its thread; see "Several event
 * loops" above. Begun right after the loop's poll has returned, ended before segue_loop_dispatch()
 * or segue_dispatch(), which return SEGUE_STATE inside a turn. Waits for the turns of other loops
 * while they are recorded: hold no lock, here and in segue_dispatch(), which may wait for the end
 * of a turn. A turn within a turn is part of it. SEGUE_GONE: this process is about to end, and its
 * connections go back to the predecessor; no turn began, handle no event, and dispatch. A service
 * with one event loop need not call them. */
SEGUE_API int segue_turn_begin(segue_instance* s);
SEGUE_API void segue_turn_end(segue_instance* s);

/* 1 inside the callbacks of a replay: nothing has to wait, and nobody but clients needs to be
 * told. */
SEGUE_API int segue_is_replaying(const segue_instance* s);

#ifdef __cplusplus
}
#endif

#endif /* SEGUE_REPLAY_H */
