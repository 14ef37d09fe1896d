// SPDX-License-Identifier: Apache-2.0
// The C ABI of segue/segue.h: checks arguments and calls inside.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "handoff/api_checks.h"
#include "handoff/instance.h"
#include "handoff/sized.h"
#include "handoff/sockets.h"

using segue::handoff::is_name;
using segue::handoff::Status;
using segue::handoff::UniqueFd;

namespace {

// As they were when each structure was first published.
constexpr uint32_t kFirstProgressBytes = offsetof(segue_progress, replayed);
constexpr size_t kFirstClassOpsBytes = offsetof(segue_class_ops, readable);

std::string_view bytes_of(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

int refuse(segue_instance* s, segue_status code, std::string text) {
  s->error = std::move(text);
  return code;
}

int outcome(segue_instance* s, Status status) {
  if (!status.ok()) s->error = std::move(status.text);
  return status.code;
}

int check_declaration(segue_instance* s, const char* name) {
  if (name == nullptr || !is_name(name)) {
    return refuse(s, SEGUE_INVALID, "a name must be 1 to 63 of [A-Za-z0-9._:-]");
  }
  if (s->started()) {
    return refuse(s, SEGUE_STATE, std::string(name) + ": declare it before segue_start()");
  }
  return SEGUE_OK;
}

}  // namespace

namespace segue::handoff {

static bool name_taken(segue_instance* s, const char* name) {
  const auto has = [name](const auto& items) {
    for (const auto& item : items) {
      if (item->name == name) return true;
    }
    return false;
  };
  const auto& inventory = s->inventory();
  return has(inventory.tables) || has(inventory.classes) || has(inventory.arenas) ||
         has(inventory.heaps);
}

int check_item(segue_instance* s, const char* name) {
  if (const int code = check_declaration(s, name); code != SEGUE_OK) return code;
  if (name_taken(s, name)) {
    return refuse(s, SEGUE_INVALID, std::string(name) + " is declared already");
  }
  return SEGUE_OK;
}

}  // namespace segue::handoff

using segue::handoff::check_item;

extern "C" {

// ---- Records ---------------------------------------------------------------------------------

int segue_get(const segue_record* record, uint32_t tag, const void** data, size_t* size) {
  const auto field = segue::handoff::find_field(record->bytes, tag);
  if (!field) return SEGUE_GONE;
  *data = field->data();
  *size = field->size();
  return SEGUE_OK;
}

uint64_t segue_get_u64(const segue_record* record, uint32_t tag, uint64_t otherwise) {
  return segue::handoff::get_number(record->bytes, tag, otherwise);
}

int64_t segue_get_i64(const segue_record* record, uint32_t tag, int64_t otherwise) {
  const auto field = segue::handoff::find_field(record->bytes, tag);
  const auto number = field ? segue::handoff::number_of(*field) : std::nullopt;
  return number ? segue::handoff::unzigzag(*number) : otherwise;
}

int segue_next(const segue_record* record, size_t* cursor, uint32_t* tag, const void** data,
               size_t* size) {
  if (*cursor >= record->bytes.size()) return SEGUE_GONE;
  std::string_view rest = record->bytes.substr(*cursor);
  const auto field = segue::handoff::take_field(rest);
  if (!field) return SEGUE_GONE;
  *cursor = record->bytes.size() - rest.size();
  *tag = field->tag;
  *data = field->bytes.data();
  *size = field->bytes.size();
  return SEGUE_OK;
}

size_t segue_unknown(const segue_record* record, const uint32_t* known, size_t count, void* out,
                     size_t size) {
  size_t needed = 0;
  std::string_view rest = record->bytes;
  while (!rest.empty()) {
    const std::string_view before = rest;
    const auto field = segue::handoff::take_field(rest);
    if (!field) break;
    bool is_known = false;
    for (size_t i = 0; i < count && !is_known; ++i) is_known = known[i] == field->tag;
    if (is_known) continue;
    const size_t field_size = before.size() - rest.size();
    if (needed < size) {
      memcpy(static_cast<char*>(out) + needed, before.data(), std::min(field_size, size - needed));
    }
    needed += field_size;
  }
  return needed;
}

void segue_put(segue_writer* writer, uint32_t tag, const void* data, size_t size) {
  if (tag == 0 || tag > segue::handoff::kMaxTag) abort();
  segue::handoff::put_field(*writer, tag, bytes_of(data, size));
}

void segue_put_u64(segue_writer* writer, uint32_t tag, uint64_t value) {
  if (tag == 0 || tag > segue::handoff::kMaxTag) abort();
  segue::handoff::put_number(*writer, tag, value);
}

void segue_put_i64(segue_writer* writer, uint32_t tag, int64_t value) {
  segue_put_u64(writer, tag, segue::handoff::zigzag(value));
}

void segue_put_fields(segue_writer* writer, const void* fields, size_t size) {
  std::string_view rest = bytes_of(fields, size);
  while (!rest.empty()) {
    const auto field = segue::handoff::take_field(rest);
    if (!field) abort();  // not what segue_unknown() returned
    segue::handoff::put_field(*writer, field->tag, field->bytes);
  }
}

// ---- Life cycle ------------------------------------------------------------------------------

segue_instance* segue_open(const segue_options* options, const segue_callbacks* callbacks,
                           void* user, char* why, size_t why_size) {
  segue_options known_options{};
  segue_callbacks known_callbacks{};
  Status status =
      options == nullptr || callbacks == nullptr
          ? Status::bad(SEGUE_INVALID, "options and callbacks are required")
          : segue_instance::validate(*options, *callbacks, known_options, known_callbacks);
  if (!status.ok()) {
    errno = EINVAL;
  } else {
    auto* instance = new segue_instance(known_options, known_callbacks, user);
    if (instance->poller_valid()) return instance;
    status = Status::system("opening an epoll instance, a timer and an event descriptor");
    delete instance;
  }
  if (why != nullptr && why_size > 0) snprintf(why, why_size, "%s", status.text.c_str());
  return nullptr;
}

int segue_start(segue_instance* s) {
  return outcome(s, s->start());
}

int segue_fd(const segue_instance* s) {
  return s->fd();
}

int segue_dispatch(segue_instance* s) {
  if (s->inventory().loops.turns().mine()) return SEGUE_STATE;
  return s->dispatch();
}

int segue_is_active(const segue_instance* s) {
  return s->serving() ? 1 : 0;
}

int segue_vote(segue_instance* s, int good, const char* why) {
  return outcome(s, s->cast_vote(good != 0, why == nullptr ? "" : why));
}

const char* segue_error(const segue_instance* s) {
  return s->error.c_str();
}

void segue_get_progress(const segue_instance* s, segue_progress* progress) {
  const segue_progress& now = const_cast<segue_instance*>(s)->progress();
  const uint32_t known = progress->size == 0 ? kFirstProgressBytes : progress->size;
  const uint32_t size = std::min<uint32_t>(known, sizeof now);
  memcpy(progress, &now, size);
  progress->size = size;
}

int segue_stop(segue_instance* s) {
  s->stop();
  return SEGUE_OK;
}

void segue_free(segue_instance* s) {
  if (s != nullptr && s->in_callbacks()) abort();  // called inside a callback
  delete s;
}

// ---- Listeners and other descriptors ---------------------------------------------------------

int segue_listen(segue_instance* s, const char* name, const char* address, int backlog) {
  if (const int code = check_declaration(s, name); code != SEGUE_OK) return code;
  if (address == nullptr) return refuse(s, SEGUE_INVALID, "segue_listen() needs an address");
  segue::handoff::SocketAddress parsed;
  Status status = segue::handoff::parse_address(address, parsed);
  if (!status.ok()) return outcome(s, std::move(status));
  s->declared_listeners.push_back({name, address, backlog > 0 ? backlog : SOMAXCONN});
  return SEGUE_OK;
}

int segue_listen_fd(segue_instance* s, const char* name, int fd) {
  if (name == nullptr || !is_name(name) || fd < 0) {
    return refuse(s, SEGUE_INVALID, "segue_listen_fd() needs a name and an open descriptor");
  }
  auto& inventory = s->inventory();
  inventory.listeners.put(name, UniqueFd(fd), inventory.tracking());
  s->listener_added(name);
  return SEGUE_OK;
}

int segue_unlisten(segue_instance* s, const char* name) {
  auto& inventory = s->inventory();
  if (name == nullptr || !inventory.listeners.remove(name, inventory.tracking())) return SEGUE_GONE;
  s->listener_removed(name);
  return SEGUE_OK;
}

int segue_fd_put(segue_instance* s, const char* name, int fd) {
  if (name == nullptr || !is_name(name) || fd < 0) {
    return refuse(s, SEGUE_INVALID, "segue_fd_put() needs a name and an open descriptor");
  }
  if (segue::handoff::is_io_uring(fd)) {
    return refuse(s, SEGUE_REFUSED,
                  std::string(name) +
                      " is a ring of io_uring, which cannot move: let each instance "
                      "make its own, and count what is in flight with "
                      "segue_operations_add()");
  }
  auto& inventory = s->inventory();
  inventory.descriptors.put(name, UniqueFd(fd), inventory.tracking());
  return SEGUE_OK;
}

int segue_fd_take_back(segue_instance* s, const char* name) {
  auto& inventory = s->inventory();
  const bool done = name != nullptr && inventory.descriptors.remove(name, inventory.tracking());
  return done ? SEGUE_OK : SEGUE_GONE;
}

// ---- Arenas ----------------------------------------------------------------------------------

segue_arena* segue_arena_open(segue_instance* s, const char* name, uint32_t form_version,
                              size_t max_size) {
  constexpr size_t kPage = 4096;
  if (check_item(s, name) != SEGUE_OK) return nullptr;
  if (form_version == 0 || max_size == 0 || max_size > SIZE_MAX / 2) {
    refuse(s, SEGUE_INVALID, std::string(name) + ": an arena needs a form version and a size");
    return nullptr;
  }
  auto arena = std::make_unique<segue_arena>();
  arena->name = name;
  arena->form_version = form_version;
  arena->max_size = (max_size + kPage - 1) / kPage * kPage;
  s->inventory().arenas.push_back(std::move(arena));
  return s->inventory().arenas.back().get();
}

void* segue_arena_data(const segue_arena* arena) {
  return arena->data;
}

size_t segue_arena_used(const segue_arena* arena) {
  return arena->used;
}

int segue_arena_fd(const segue_arena* arena) {
  return arena->fd.get();
}

void segue_arena_set_check(segue_arena* arena, segue_arena_check check, void* user) {
  arena->check = check;
  arena->check_user = user;
}

int segue_arena_set_used(segue_arena* arena, size_t used) {
  if (used > arena->max_size) return SEGUE_LIMIT;
  arena->used = used;
  return SEGUE_OK;
}

int segue_retire(segue_instance* s, const char* name) {
  if (const int code = check_item(s, name); code != SEGUE_OK) return code;
  s->inventory().retired.emplace_back(name);
  return SEGUE_OK;
}

// ---- Tables ----------------------------------------------------------------------------------

segue_table* segue_table_open(segue_instance* s, const char* name, const segue_form* form,
                              const segue_table_ops* ops, uint32_t flags, void* user) {
  if (check_item(s, name) != SEGUE_OK) return nullptr;
  if (form == nullptr || ops == nullptr || ops->size != sizeof *ops || ops->scan == nullptr ||
      ops->encode == nullptr || ops->put == nullptr || ops->erase == nullptr ||
      (flags & ~SEGUE_TABLE_REBUFFED) != 0) {
    refuse(s, SEGUE_INVALID,
           std::string(name) + ": a table needs a form, scan, encode, put, erase");
    return nullptr;
  }
  auto table = std::make_unique<segue_table>();
  if (outcome(s, segue::handoff::Form::make(*form, table->form)) != SEGUE_OK) return nullptr;
  table->name = name;
  table->instance = s;
  table->inventory = &s->inventory();
  table->ops = *ops;
  table->flags = flags;
  table->user = user;
  if (s->inventory().is_shared()) table->dirty.share();
  s->inventory().tables.push_back(std::move(table));
  return s->inventory().tables.back().get();
}

void segue_table_put(segue_table* table, const void* key, size_t key_size) {
  if (table->inventory->tracking()) table->dirty.add(bytes_of(key, key_size));
}

void segue_table_erase(segue_table* table, const void* key, size_t key_size) {
  segue_table_put(table, key, key_size);  // encode() says SEGUE_GONE when it is sent
}

void segue_table_clear(segue_table* table) {
  if (table->inventory->tracking()) table->dirty.empty();
}

int segue_table_rebuffs(const segue_table* table) {
  return (table->flags & SEGUE_TABLE_REBUFFED) != 0 && table->inventory->rebuffing ? 1 : 0;
}

void segue_scan_key(segue_scan* scan, const void* key, size_t key_size) {
  scan->keys->emplace_back(bytes_of(key, key_size));
}

// ---- Connections -----------------------------------------------------------------------------

segue_class* segue_class_open(segue_instance* s, const char* name, const segue_form* form,
                              const segue_class_ops* ops, void* user) {
  if (check_item(s, name) != SEGUE_OK) return nullptr;
  segue_class_ops known{};
  if (form == nullptr || ops == nullptr ||
      !segue::handoff::take_sized(*ops, kFirstClassOpsBytes, known) || known.encode == nullptr ||
      known.adopt == nullptr || known.update == nullptr) {
    refuse(s, SEGUE_INVALID, std::string(name) + ": a class needs a form, encode, adopt, update");
    return nullptr;
  }
  auto cls = std::make_unique<segue_class>();
  if (outcome(s, segue::handoff::Form::make(*form, cls->form)) != SEGUE_OK) return nullptr;
  cls->name = name;
  cls->inventory = &s->inventory();
  cls->ops = known;
  cls->user = user;
  s->inventory().classes.push_back(std::move(cls));
  return s->inventory().classes.back().get();
}

segue_conn* segue_conn_add(segue_class* cls, int fd, void* data) {
  if (fd < 0) return nullptr;
  segue::handoff::Inventory& inventory = *cls->inventory;
  segue_conn* conn = inventory.connections.add(cls, segue::handoff::kInstanceThread, fd, data);
  segue::handoff::Traffic* traffic = inventory.traffic.get();
  if (conn != nullptr && traffic != nullptr) traffic->opened(*conn);
  return conn;
}

void segue_conn_touch(segue_conn* conn) {
  segue::handoff::Inventory& inventory = *conn->cls->inventory;
  if (inventory.tracking()) inventory.connections.touch(conn);
}

int segue_conn_close(segue_conn* conn, segue_close_how how) {
  segue::handoff::Inventory& inventory = *conn->cls->inventory;
  if (segue::handoff::Traffic* traffic = inventory.traffic.get()) traffic->closing(*conn, how);
  segue::handoff::close_peer(conn->fd, how);
  inventory.connections.remove(conn);
  return SEGUE_OK;
}

int segue_conn_fd(const segue_conn* conn) {
  return conn->fd;
}
void* segue_conn_data(const segue_conn* conn) {
  return conn->data;
}
void segue_conn_set_data(segue_conn* conn, void* data) {
  conn->data = data;
}
uint64_t segue_conn_id(const segue_conn* conn) {
  return conn->id();
}

segue_conn* segue_conn_find(segue_instance* s, uint64_t id) {
  return s->inventory().connections.find(id);
}

// ---- Replay ------------------------------------------------------------------------------------

ssize_t segue_read(segue_conn* conn, void* data, size_t size) {
  segue::handoff::Traffic* traffic = conn->cls->inventory->traffic.get();
  return traffic == nullptr ? segue::handoff::plain_read(conn->fd, data, size)
                            : traffic->read(*conn, data, size);
}

ssize_t segue_write(segue_conn* conn, const void* data, size_t size) {
  segue::handoff::Traffic* traffic = conn->cls->inventory->traffic.get();
  return traffic == nullptr ? segue::handoff::plain_write(conn->fd, data, size)
                            : traffic->write(*conn, data, size);
}

size_t segue_note(segue_instance* s, uint32_t tag, void* data, size_t size, size_t capacity) {
  segue::handoff::Traffic* traffic = s->inventory().traffic.get();
  return traffic == nullptr ? size : traffic->note(tag, data, size, capacity);
}

int segue_is_replaying(const segue_instance* s) {
  const segue::handoff::Traffic* traffic =
      const_cast<segue_instance*>(s)->inventory().traffic.get();
  return traffic != nullptr && traffic->replaying() ? 1 : 0;
}

int segue_turn_begin(segue_instance* s) {
  segue::handoff::Traffic* traffic = s->inventory().traffic.get();
  return traffic == nullptr || traffic->begin_turn() ? SEGUE_OK : SEGUE_GONE;
}

void segue_turn_end(segue_instance* s) {
  segue::handoff::Turns& turns = s->inventory().loops.turns();
  if (turns.mine()) turns.end();
}

}  // extern "C"
