// SPDX-License-Identifier: Apache-2.0
//
// The C++20 face of segue.h: the same contract with objects in place of tables of functions.
// Header-only; throws nothing; what segue.h says of threads, ownership and phases holds here too.
//
//   class Counter : public segue::Service, public segue::TableSource { ... };
//   Counter counter;
//   segue::Instance instance(options, counter);
//   instance.listen("main", "tcp:127.0.0.1:7000");
//   segue::Table table = instance.table("counters", segue::FormSpec{"counter.entry", 1}, counter);
//   if (instance.start() != SEGUE_OK) { ... instance.error() ... }
#ifndef SEGUE_SEGUE_HPP
#define SEGUE_SEGUE_HPP

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "segue/segue.h"

namespace segue {

// Fields being read; valid until the callback that it was given to returns.
class Record {
 public:
  explicit Record(const segue_record* record) : record_(record) {}

  [[nodiscard]] std::optional<std::string_view> get(uint32_t tag) const {
    const void* data = nullptr;
    size_t size = 0;
    if (segue_get(record_, tag, &data, &size) != SEGUE_OK) return std::nullopt;
    return std::string_view(static_cast<const char*>(data), size);
  }
  [[nodiscard]] uint64_t number(uint32_t tag, uint64_t otherwise = 0) const {
    return segue_get_u64(record_, tag, otherwise);
  }
  [[nodiscard]] int64_t signed_number(uint32_t tag, int64_t otherwise = 0) const {
    return segue_get_i64(record_, tag, otherwise);
  }
  // Calls visit(tag, bytes) for each field, in order.
  template <typename Visit>
  void each(Visit visit) const {
    size_t cursor = 0;
    uint32_t tag = 0;
    const void* data = nullptr;
    size_t size = 0;
    while (segue_next(record_, &cursor, &tag, &data, &size) == SEGUE_OK) {
      visit(tag, std::string_view(static_cast<const char*>(data), size));
    }
  }
  // The fields with other tags than these, to be kept and given to Writer::fields().
  template <size_t count>
  [[nodiscard]] std::string unknown(const uint32_t (&known)[count]) const {
    std::string kept(segue_unknown(record_, known, count, nullptr, 0), '\0');
    if (!kept.empty()) segue_unknown(record_, known, count, kept.data(), kept.size());
    return kept;
  }

 private:
  const segue_record* record_;
};

// Fields being written; valid until the callback that it was given to returns.
class Writer {
 public:
  explicit Writer(segue_writer* writer) : writer_(writer) {}
  void put(uint32_t tag, std::string_view bytes) {
    segue_put(writer_, tag, bytes.data(), bytes.size());
  }
  void number(uint32_t tag, uint64_t value) { segue_put_u64(writer_, tag, value); }
  void signed_number(uint32_t tag, int64_t value) { segue_put_i64(writer_, tag, value); }
  void fields(std::string_view kept) { segue_put_fields(writer_, kept.data(), kept.size()); }

 private:
  segue_writer* writer_;
};

// A form's name and versions; the converters take a record one version up or down.
struct FormSpec {
  const char* name = nullptr;
  uint32_t version = 1;
  uint32_t oldest = version;
  bool (*up)(uint32_t from, const Record& in, Writer& out) = nullptr;
  bool (*down)(uint32_t from, const Record& in, Writer& out) = nullptr;
  const segue_form_field* fields = nullptr;  // see segue_form
  uint32_t field_count = 0;
};

// See segue_callbacks. What returns bool: false means failure.
class Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  virtual bool listener(const char* /*name*/, int /*fd*/) { return true; }
  virtual bool descriptor(const char* /*name*/, int /*fd*/) { return true; }
  virtual bool freeze() = 0;
  virtual bool release() { return true; }
  virtual void resume(segue_resume_reason reason, bool released) = 0;
  virtual bool check(std::string& /*why*/) { return true; }
  virtual bool acquire() { return true; }
  virtual void yield() {}
  virtual void activate(const segue_activation& activation) = 0;
  virtual void terminate(segue_end_reason reason) = 0;
  virtual void progress(const segue_progress& /*progress*/) {}
  // For SEGUE_ON_CRASH_ARENAS; see segue_callbacks.
  virtual bool check_arenas(std::string& /*why*/) { return true; }
  // True if release() does something: a deadline then fences the successor before this process
  // serves again.
  [[nodiscard]] virtual bool has_single_access_resources() const { return false; }
};

// The keys of a scan being listed.
class Scan {
 public:
  explicit Scan(segue_scan* scan) : scan_(scan) {}
  void key(std::string_view key) { segue_scan_key(scan_, key.data(), key.size()); }

 private:
  segue_scan* scan_;
};

enum class Encoded { written, gone, failed };

// See segue_table_ops.
class TableSource {
 public:
  TableSource() = default;
  TableSource(const TableSource&) = delete;
  TableSource& operator=(const TableSource&) = delete;
  virtual ~TableSource() = default;
  // Returns true while there are more.
  virtual bool scan(uint64_t& cursor, uint32_t max_keys, Scan& scan) = 0;
  virtual Encoded encode(std::string_view key, Writer& out) = 0;
  virtual bool put(std::string_view key, const Record& record) = 0;
  virtual bool erase(std::string_view key) = 0;
  virtual void clear() = 0;
};

// An event loop beside that of the instance's thread; see "Event loops" in segue.h.
class Loop {
 public:
  Loop() = default;
  explicit Loop(segue_loop* loop) : loop_(loop) {}
  [[nodiscard]] bool valid() const { return loop_ != nullptr; }
  [[nodiscard]] segue_loop* handle() const { return loop_; }
  [[nodiscard]] int fd() const { return segue_loop_fd(loop_); }
  // False: the service ends here; touch nothing any more.
  [[nodiscard]] bool dispatch() { return segue_loop_dispatch(loop_) == SEGUE_OK; }

 private:
  segue_loop* loop_ = nullptr;
};

// What is in flight outside the turns of all loops; see segue.h.
class Operations {
 public:
  Operations() = default;
  explicit Operations(segue_operations* operations) : operations_(operations) {}
  [[nodiscard]] bool valid() const { return operations_ != nullptr; }
  void add(int64_t change) { segue_operations_add(operations_, change); }

 private:
  segue_operations* operations_ = nullptr;
};

class Table {
 public:
  Table() = default;
  explicit Table(segue_table* table) : table_(table) {}
  [[nodiscard]] bool valid() const { return table_ != nullptr; }
  void put(std::string_view key) { segue_table_put(table_, key.data(), key.size()); }
  void erase(std::string_view key) { segue_table_erase(table_, key.data(), key.size()); }
  void clear() { segue_table_clear(table_); }
  [[nodiscard]] bool rebuffs() const { return segue_table_rebuffs(table_) == 1; }
  bool bind(Loop loop) { return segue_table_bind(table_, loop.handle()) == SEGUE_OK; }

 private:
  segue_table* table_ = nullptr;
};

class Connection {
 public:
  Connection() = default;
  explicit Connection(segue_conn* conn) : conn_(conn) {}
  [[nodiscard]] bool valid() const { return conn_ != nullptr; }
  [[nodiscard]] int fd() const { return segue_conn_fd(conn_); }
  [[nodiscard]] uint64_t id() const { return segue_conn_id(conn_); }
  template <typename T>
  [[nodiscard]] T* data() const {
    return static_cast<T*>(segue_conn_data(conn_));
  }
  void set_data(void* data) { segue_conn_set_data(conn_, data); }
  void touch() { segue_conn_touch(conn_); }
  // See replay.h.
  [[nodiscard]] ssize_t read(void* data, size_t size) { return segue_read(conn_, data, size); }
  [[nodiscard]] ssize_t write(std::string_view data) {
    return segue_write(conn_, data.data(), data.size());
  }
  bool bind(Loop loop) { return segue_conn_bind(conn_, loop.handle()) == SEGUE_OK; }
  // The handle is invalid afterwards.
  void close(segue_close_how how = SEGUE_CLOSE_FIN) {
    segue_conn_close(std::exchange(conn_, nullptr), how);
  }

 private:
  segue_conn* conn_ = nullptr;
};

// See segue_class_ops.
class ConnectionSource {
 public:
  ConnectionSource() = default;
  ConnectionSource(const ConnectionSource&) = delete;
  ConnectionSource& operator=(const ConnectionSource&) = delete;
  virtual ~ConnectionSource() = default;
  virtual bool encode(Connection conn, Writer& out) = 0;
  virtual bool adopt(Connection conn, int fd, const Record& record) = 0;
  virtual bool update(Connection conn, const Record& record) = 0;
  virtual void drop(Connection conn) = 0;
};

class ConnectionClass {
 public:
  ConnectionClass() = default;
  explicit ConnectionClass(segue_class* cls) : cls_(cls) {}
  [[nodiscard]] bool valid() const { return cls_ != nullptr; }
  // Takes ownership of fd unless the result is invalid.
  [[nodiscard]] Connection add(int fd, void* data) {
    return Connection(segue_conn_add(cls_, fd, data));
  }
  [[nodiscard]] Connection add(Loop loop, int fd, void* data) {
    return Connection(segue_conn_add_to(cls_, loop.handle(), fd, data));
  }

 private:
  segue_class* cls_ = nullptr;
};

// Sources and service must outlive the instance.
class Instance {
 public:
  Instance(segue_options options, Service& service) {
    options.size = sizeof options;
    const segue_callbacks callbacks = callbacks_of(service);
    char why[256] = "";
    handle_.reset(segue_open(&options, &callbacks, &service, why, sizeof why));
    why_ = why;
  }
  // False if an option was invalid: error() says which.
  [[nodiscard]] bool valid() const { return handle_ != nullptr; }
  [[nodiscard]] const char* error() const {
    return valid() ? segue_error(handle_.get()) : why_.c_str();
  }
  [[nodiscard]] segue_instance* handle() const { return handle_.get(); }

  int listen(const char* name, const char* address, int backlog = 0) {
    return segue_listen(handle_.get(), name, address, backlog);
  }
  int put_fd(const char* name, int fd) { return segue_fd_put(handle_.get(), name, fd); }
  Table table(const char* name, const FormSpec& form, TableSource& source, uint32_t flags = 0) {
    const segue_form declared = declare(form);
    const segue_table_ops ops = table_ops();
    return Table(segue_table_open(handle_.get(), name, &declared, &ops, flags, &source));
  }
  ConnectionClass connections(const char* name, const FormSpec& form, ConnectionSource& source) {
    const segue_form declared = declare(form);
    const segue_class_ops ops = class_ops();
    return ConnectionClass(segue_class_open(handle_.get(), name, &declared, &ops, &source));
  }

  Loop loop(const char* name) { return Loop(segue_loop_open(handle_.get(), name)); }
  Operations operations(const char* name, const segue_operations_ops* ops = nullptr,
                        void* user = nullptr) {
    return Operations(segue_operations_open(handle_.get(), name, ops, user));
  }

  int start() { return segue_start(handle_.get()); }
  [[nodiscard]] int fd() const { return segue_fd(handle_.get()); }
  int dispatch() { return segue_dispatch(handle_.get()); }
  [[nodiscard]] bool active() const { return segue_is_active(handle_.get()) == 1; }
  int vote(bool good, const char* why = nullptr) {
    return segue_vote(handle_.get(), good ? 1 : 0, why);
  }
  [[nodiscard]] Connection find(uint64_t id) const {
    return Connection(segue_conn_find(handle_.get(), id));
  }

 private:
  struct Free {
    void operator()(segue_instance* s) const { segue_free(s); }
  };

  static int code(bool good) { return good ? SEGUE_OK : SEGUE_REFUSED; }
  static Service& service(void* user) { return *static_cast<Service*>(user); }
  static TableSource& rows(void* user) { return *static_cast<TableSource*>(user); }
  static ConnectionSource& conns(void* user) { return *static_cast<ConnectionSource*>(user); }
  static std::string_view text(const void* data, size_t size) {
    return {static_cast<const char*>(data), size};
  }

  static segue_callbacks callbacks_of(const Service& target) {
    segue_callbacks c{};
    c.size = sizeof c;
    c.listener = [](void* u, const char* n, int fd) { return code(service(u).listener(n, fd)); };
    c.descriptor = [](void* u, const char* n, int fd) {
      return code(service(u).descriptor(n, fd));
    };
    c.freeze = [](void* u) { return code(service(u).freeze()); };
    if (target.has_single_access_resources()) {
      c.release = [](void* u) { return code(service(u).release()); };
    }
    c.resume = [](void* u, segue_resume_reason r, int released) {
      service(u).resume(r, released == 1);
    };
    c.check = [](void* u, char* why, size_t size) {
      std::string reason;
      if (service(u).check(reason)) return static_cast<int>(SEGUE_OK);
      snprintf(why, size, "%s", reason.c_str());
      return static_cast<int>(SEGUE_REFUSED);
    };
    c.acquire = [](void* u) { return code(service(u).acquire()); };
    c.yield = [](void* u) { service(u).yield(); };
    c.activate = [](void* u, const segue_activation* a) { service(u).activate(*a); };
    c.terminate = [](void* u, segue_end_reason r) { service(u).terminate(r); };
    c.progress = [](void* u, const segue_progress* p) { service(u).progress(*p); };
    c.check_arenas = [](void* u, char* why, size_t size) {
      std::string reason;
      if (service(u).check_arenas(reason)) return static_cast<int>(SEGUE_OK);
      snprintf(why, size, "%s", reason.c_str());
      return static_cast<int>(SEGUE_REFUSED);
    };
    return c;
  }

  static segue_table_ops table_ops() {
    segue_table_ops ops{};
    ops.size = sizeof ops;
    ops.scan = [](void* u, uint64_t* cursor, uint32_t max, segue_scan* out) {
      Scan scan(out);
      return rows(u).scan(*cursor, max, scan) ? 1 : 0;
    };
    ops.encode = [](void* u, const void* key, size_t size, segue_writer* out) -> int {
      Writer writer(out);
      switch (rows(u).encode(text(key, size), writer)) {
        case Encoded::written:
          return SEGUE_OK;
        case Encoded::gone:
          return SEGUE_GONE;
        case Encoded::failed:
          break;
      }
      return SEGUE_REFUSED;
    };
    ops.put = [](void* u, const void* key, size_t size, const segue_record* record) {
      return code(rows(u).put(text(key, size), Record(record)));
    };
    ops.erase = [](void* u, const void* key, size_t size) {
      return code(rows(u).erase(text(key, size)));
    };
    ops.clear = [](void* u) { rows(u).clear(); };
    return ops;
  }

  static segue_class_ops class_ops() {
    segue_class_ops ops{};
    ops.size = sizeof ops;
    ops.encode = [](void* u, segue_conn* conn, segue_writer* out) {
      Writer writer(out);
      return code(conns(u).encode(Connection(conn), writer));
    };
    ops.adopt = [](void* u, segue_conn* conn, int fd, const segue_record* record) {
      return code(conns(u).adopt(Connection(conn), fd, Record(record)));
    };
    ops.update = [](void* u, segue_conn* conn, const segue_record* record) {
      return code(conns(u).update(Connection(conn), Record(record)));
    };
    ops.drop = [](void* u, segue_conn* conn) { conns(u).drop(Connection(conn)); };
    return ops;
  }

  segue_form declare(const FormSpec& form) {
    specs_.push_back(std::make_unique<FormSpec>(form));
    segue_form declared{};
    declared.size = sizeof declared;
    declared.version = form.version;
    declared.oldest = form.oldest;
    declared.name = form.name;
    declared.user = specs_.back().get();
    declared.fields = form.fields;
    declared.field_count = form.field_count;
    if (form.up != nullptr) {
      declared.up = [](void* u, uint32_t from, const segue_record* in, segue_writer* out) {
        Writer writer(out);
        return code(static_cast<FormSpec*>(u)->up(from, Record(in), writer));
      };
    }
    if (form.down != nullptr) {
      declared.down = [](void* u, uint32_t from, const segue_record* in, segue_writer* out) {
        Writer writer(out);
        return code(static_cast<FormSpec*>(u)->down(from, Record(in), writer));
      };
    }
    return declared;
  }

  std::vector<std::unique_ptr<FormSpec>> specs_;
  std::string why_;
  std::unique_ptr<segue_instance, Free> handle_;
};

}  // namespace segue

#endif  // SEGUE_SEGUE_HPP
