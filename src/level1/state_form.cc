// SPDX-License-Identifier: Apache-2.0
#include "level1/state_form.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace segue::level1 {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kVersionTag = 1;
constexpr std::uint32_t kBytesTag = 2;

StateForm& self(void* user) {
  return *static_cast<StateForm*>(user);
}

// Whoever wrote it may not shrink it under its reader.
Result<void> check_memory(int fd, std::uint64_t bytes) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return fail(ErrorCode::invalid_argument, "is not a memfd sealed with F_SEAL_SHRINK");
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail(base::errno_error("look at a memfd", errno));
  if (bytes > StateForm::kMaxStateBytes || static_cast<std::uint64_t>(status.st_size) < bytes) {
    return fail(ErrorCode::invalid_argument, "has {} bytes, and {} were announced", status.st_size,
                bytes);
  }
  return {};
}

}  // namespace

int StateForm::encode(segue_writer* out) {
  agreed_ = version_;  // lower() follows where the other side reads an older one
  segue_put_u64(out, kVersionTag, version_);
  segue_put_u64(out, kBytesTag, bytes_);
  return SEGUE_OK;
}

int StateForm::decode(const segue_record* record) {
  received_version_ = static_cast<std::uint32_t>(segue_get_u64(record, kVersionTag, 0));
  bytes_ = segue_get_u64(record, kBytesTag, 0);
  return received_version_ >= oldest_ && received_version_ <= version_ ? SEGUE_OK : SEGUE_PEER;
}

int StateForm::lower(std::uint32_t from, const segue_record* in, segue_writer* out) {
  agreed_ = from - 1;
  segue_put_u64(out, kVersionTag, agreed_);
  segue_put_u64(out, kBytesTag, segue_get_u64(in, kBytesTag, 0));
  return SEGUE_OK;
}

const segue_table_ops& StateForm::table_ops() {
  static const segue_table_ops ops = [] {
    segue_table_ops made{};
    made.size = sizeof made;
    made.scan = [](void* /*user*/, std::uint64_t* /*cursor*/, std::uint32_t /*max_keys*/,
                   segue_scan* scan) {
      segue_scan_key(scan, "state", 5);
      return 0;
    };
    made.encode = [](void* user, const void* /*key*/, std::size_t /*size*/, segue_writer* out) {
      return self(user).encode(out);
    };
    made.put = [](void* user, const void* /*key*/, std::size_t /*size*/,
                  const segue_record* record) { return self(user).decode(record); };
    made.erase = [](void* /*user*/, const void* /*key*/, std::size_t /*size*/) -> int {
      return SEGUE_PEER;  // it is always there
    };
    made.clear = [](void* user) { self(user).received_version_ = 0; };
    return made;
  }();
  return ops;
}

Result<void> StateForm::declare(segue_instance* instance) {
  segue_form form{};
  form.size = sizeof form;
  form.name = name_.c_str();
  form.version = version_;
  form.oldest = oldest_;
  form.user = this;
  form.down = [](void* user, std::uint32_t from, const segue_record* in, segue_writer* out) {
    return self(user).lower(from, in, out);
  };
  // Upwards nothing changes: the record says in which version the program has written.
  form.up = [](void* /*user*/, std::uint32_t /*from*/, const segue_record* in, segue_writer* out) {
    segue_put_u64(out, kVersionTag, segue_get_u64(in, kVersionTag, 0));
    segue_put_u64(out, kBytesTag, segue_get_u64(in, kBytesTag, 0));
    return static_cast<int>(SEGUE_OK);
  };
  table_ = segue_table_open(instance, descriptor().c_str(), &form, &table_ops(), 0, this);
  if (table_ == nullptr) {
    return fail(ErrorCode::invalid_argument, "form '{}': {}", name_, segue_error(instance));
  }
  return {};
}

Result<void> StateForm::written(segue_instance* instance, os::UniqueFd memory,
                                std::uint64_t bytes) {
  if (auto good = check_memory(memory.get(), bytes); !good) {
    return fail(std::move(good).error().with("the state of form '" + name_ + "'"));
  }
  bytes_ = bytes;
  segue_table_put(table_, "state", 5);
  if (segue_fd_put(instance, descriptor().c_str(), memory.get()) != SEGUE_OK) {
    return fail(ErrorCode::internal, "{}", segue_error(instance));
  }
  (void)memory.release();
  return {};
}

Result<void> StateForm::arrived(int fd) {
  memory_.reset();
  if (fd < 0) return {};
  SEGUE_ASSIGN(memory_, os::duplicate(fd));
  return {};
}

Message StateForm::message() const {
  Message state{.type = MessageType::state, .fd_count = 0, .fields = {}};
  state.put(1, name_).put(2, std::uint64_t{received_version_}).put(3, bytes_);
  return state;
}

void StateForm::forget(segue_instance* instance) {
  memory_.reset();
  (void)segue_fd_take_back(instance, descriptor().c_str());
}

}  // namespace segue::level1
