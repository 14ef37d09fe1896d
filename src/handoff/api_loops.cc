// SPDX-License-Identifier: Apache-2.0
// The part of the C ABI that is about event loops and operations in flight: checks arguments and
// calls inside.
#include "handoff/instance.h"
#include "handoff/sockets.h"

using segue::handoff::kInstanceThread;
using segue::handoff::Loops;
using segue::handoff::Status;

extern "C" {

segue_loop* segue_loop_open(segue_instance* s, const char* name) {
  if (name == nullptr || !segue::handoff::is_name(name)) {
    s->error = "a loop's name must be 1 to 63 of [A-Za-z0-9._:-]";
    return nullptr;
  }
  if (s->started() || s->inventory().loops.has(name)) {
    s->error = std::string("loop ") + name +
               (s->started() ? ": declare it before segue_start()" : " is declared already");
    return nullptr;
  }
  segue_loop* loop = nullptr;
  if (Status status = s->open_loop(name, loop); !status.ok()) {
    s->error = std::move(status.text);
    return nullptr;
  }
  return loop;
}

int segue_loop_fd(const segue_loop* loop) {
  return loop->fd.get();
}

int segue_loop_dispatch(segue_loop* loop) {
  if (loop->loops->turns().mine()) return SEGUE_STATE;
  return loop->dispatch();
}

int segue_table_bind(segue_table* table, segue_loop* loop) {
  if (loop == nullptr || loop->loops != &table->inventory->loops) return SEGUE_INVALID;
  if (table->instance->started()) return SEGUE_STATE;
  table->loop = loop->number;
  return SEGUE_OK;
}

segue_conn* segue_conn_add_to(segue_class* cls, segue_loop* loop, int fd, void* data) {
  if (fd < 0 || loop == nullptr || loop->loops != &cls->inventory->loops) return nullptr;
  segue_conn* conn = cls->inventory->connections.add(cls, loop->number, fd, data);
  segue::handoff::Traffic* traffic = cls->inventory->traffic.get();
  if (conn != nullptr && traffic != nullptr) traffic->opened(*conn);
  return conn;
}

int segue_conn_bind(segue_conn* conn, segue_loop* loop) {
  segue::handoff::Inventory& inventory = *conn->cls->inventory;
  if (loop != nullptr && loop->loops != &inventory.loops) return SEGUE_INVALID;
  inventory.connections.bind(conn, loop == nullptr ? kInstanceThread : loop->number);
  return SEGUE_OK;
}

// ---- Operations in flight --------------------------------------------------------------------

segue_operations* segue_operations_open(segue_instance* s, const char* name,
                                        const segue_operations_ops* ops, void* user) {
  segue_operations_ops given{};
  if (ops != nullptr) given = *ops;
  if (name == nullptr || !segue::handoff::is_name(name) ||
      (ops != nullptr && ops->size != sizeof *ops)) {
    s->error = "operations need a name of 1 to 63 of [A-Za-z0-9._:-], and ops of this library";
    return nullptr;
  }
  if (s->started() || s->inventory().operations.has(name)) {
    s->error = std::string("operations ") + name +
               (s->started() ? ": declare them before segue_start()" : " are declared already");
    return nullptr;
  }
  segue_operations* operations = nullptr;
  if (Status status = s->open_operations(name, given, user, operations); !status.ok()) {
    s->error = std::move(status.text);
    return nullptr;
  }
  return operations;
}

void segue_operations_add(segue_operations* operations, int64_t change) {
  segue::handoff::Operations::add(*operations, change);
}

}  // extern "C"
