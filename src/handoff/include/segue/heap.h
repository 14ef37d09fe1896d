/* SPDX-License-Identifier: Apache-2.0
 *
 * Record heaps: state of many gigabytes that is passed to a successor and never copied.
 *
 * A heap is memory for records in one arena (a sealed memfd), found by id. Ids are kept over a
 * handoff, addresses are not: refer from one record to another by its id, and keep the index in the
 * heap too, under the root, so that a successor has nothing to build.
 *
 * Same form version on both sides: the successor maps the same memory; what is written meanwhile is
 * there at once, and a blackout does not depend on the size or on the writes. Another version: the
 * successor fills an arena of its own in the background, record by record through the form's
 * converters, and is kept current by the ids of what was written since. An older predecessor is
 * read by the successor, directly from its memory; a newer one converts down itself and sends the
 * records. Both arenas have to fit into the host's memory and the control group's: this is looked
 * at before anything is sent, and refused with the figures.
 *
 * Converters     of the segue_form get a record of two fields: SEGUE_HEAP_BYTES, the bytes as they
 *                lie in the heap, and SEGUE_HEAP_TYPE. They write both (the type may be left out:
 * it stays). down(up(x)) must be x, byte for byte: mind the padding of structures. Rehearsal is of
 * one moment, the mark. Every record that existed at the mark is verified as it was then, also
 * those that change while the rehearsal runs: the heap keeps a copy of what is about to change.
 * Verified is that the record has the digest that it had when the predecessor last heard of a
 * change (a change without segue_heap_write() ends the handoff, with the record's id), that the
 * number of records and the sum of digests agree, and, where it was converted, that it is the same
 * after converting it back. Not verified is what changes after the mark; it is brought over like
 *                everything else. `check` sees the moment of the mark, through segue_heap_copy()
 *                and segue_heap_next() only.
 * Undo           If the successor dies in probation, the heap of the predecessor is as it was when
 *                it froze: the successor keeps what it overwrites until it commits. Until then a
 *                write needs room for that copy; it fails with SEGUE_LIMIT once the log is full
 *                (twice max_size). A rehearsal makes no write fail: where it is the rehearsal that
 *                has filled the log, the attempt to hand over ends.
 * Trust          A heap may be damaged by another process that has its memory. Whatever is read is
 *                checked against its bounds: SEGUE_PEER, never a crash.
 * Threads        A heap belongs to the thread of its segue_instance. One that several threads use
 * is guarded by a lock of the service's own: see segue_heap_set_lock().
 */
#ifndef SEGUE_HEAP_H
#define SEGUE_HEAP_H

#include "segue/segue.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct segue_heap segue_heap;

#define SEGUE_HEAP_BYTES 1u /* tag: the record's bytes */
#define SEGUE_HEAP_TYPE 2u  /* tag: its type, a number */
#define SEGUE_HEAP_MAX_RECORD 536870896u

/* Declares a heap, before segue_start(). `max_size` bounds the bytes of its records together, with
 * about 50 to 80 bytes more for each, and a quarter for sizes that do not fit; memory is used as it
 * is touched. A successor of the same form version takes the predecessor's max_size; to have more,
 * raise the form's version. Returns NULL on an invalid argument. */
SEGUE_API segue_heap* segue_heap_open(segue_instance* s, const char* name, const segue_form* form,
                                      size_t max_size);

/* For a heap that several threads use, before segue_start(). The service holds the lock during each
 * of the calls below, and as long as it uses a pointer that it got from one; never during
 * segue_dispatch() or segue_loop_dispatch(). The library takes it for each small part of what it
 * does with the heap while the service runs; converters are called with it held, `check` without
 * it. Returns SEGUE_STATE after segue_start(). */
SEGUE_API int segue_heap_set_lock(segue_heap* heap, void (*lock)(void* user),
                                  void (*unlock)(void* user), void* user);

/* The functions below work from `activate` to `freeze` and from `resume` on; otherwise they return
 * SEGUE_STATE, except where the text says more. Pointers to a record are valid until the next call
 * that changes the heap (alloc, write, resize, free) or segue_dispatch(), and aligned to 16.
 *
 * Returns SEGUE_OK, SEGUE_LIMIT when the heap is full (nothing has changed), SEGUE_GONE when there
 * is no record `id`, SEGUE_INVALID when the size is over SEGUE_HEAP_MAX_RECORD, SEGUE_PEER when the
 * record is damaged. */

/* A new record of `size` bytes, which are not cleared. `type` is the service's own word for what it
 * is. *id is never 0 and not given out again; but when a successor has died in probation
 * and its writes were undone, the ids that it gave out are free. `data` may be NULL. */
SEGUE_API int segue_heap_alloc(segue_heap* heap, uint32_t type, size_t size, uint64_t* id,
                               void** data);
SEGUE_API int segue_heap_free(segue_heap* heap, uint64_t id);
/* Call before changing a record, once in each turn of the loop in which it is changed (more often
 * costs little). *data is where to change it. */
SEGUE_API int segue_heap_write(segue_heap* heap, uint64_t id, void** data);
/* As segue_heap_write(), and gives it another size: what fits is kept, the rest is not cleared. */
SEGUE_API int segue_heap_resize(segue_heap* heap, uint64_t id, size_t size, void** data);
/* To read. NULL if there is no such record, if it is damaged, or outside of the time named above.
 * `size` and `type` may be NULL. */
SEGUE_API const void* segue_heap_get(const segue_heap* heap, uint64_t id, size_t* size,
                                     uint32_t* type);

/* Also from `check` on in a successor: copies at most `size` bytes of the record to `out` and sets
 * *record_size. `record_size` and `type` may be NULL. */
SEGUE_API int segue_heap_copy(segue_heap* heap, uint64_t id, void* out, size_t size,
                              size_t* record_size, uint32_t* type);
/* Also from `check` on: the next record, in no order that means anything. *cursor starts at 0.
 * SEGUE_OK, or SEGUE_GONE after the last one. */
SEGUE_API int segue_heap_next(segue_heap* heap, uint64_t* cursor, uint64_t* id);

/* The record from which the service finds all others; 0 in a new heap. The library does not look
 * at it. The getter works also from `check` on. */
SEGUE_API int segue_heap_set_root(segue_heap* heap, uint64_t id);
SEGUE_API uint64_t segue_heap_root(const segue_heap* heap);

typedef struct segue_heap_usage {
  uint32_t size; /* sizeof(segue_heap_usage) */
  uint32_t form_version;
  uint64_t records;
  uint64_t record_bytes;
  uint64_t used_bytes; /* of max_size: blocks that are or were in use */
  uint64_t max_bytes;
} segue_heap_usage;
SEGUE_API int segue_heap_get_usage(const segue_heap* heap, segue_heap_usage* usage);

#ifdef __cplusplus
}
#endif

#endif /* SEGUE_HEAP_H */
