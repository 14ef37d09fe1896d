// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "level1/message.h"
#include "os/unique_fd.h"
#include "segue/segue.h"

namespace segue::level1 {

// A form that the program declared. Its state is opaque here: libsegue agrees on the version and
// the program writes and reads it. The state's memfd travels as a descriptor, and a table of one
// record says in which version it is and how long.
class StateForm {
 public:
  static constexpr std::size_t kMaxForms = 16;
  static constexpr std::uint64_t kMaxStateBytes = std::uint64_t{1} << 40;

  StateForm(std::string name, std::uint32_t version, std::uint32_t oldest)
      : name_(std::move(name)), version_(version), oldest_(oldest), agreed_(version) {}
  StateForm(const StateForm&) = delete;
  StateForm& operator=(const StateForm&) = delete;

  base::Result<void> declare(segue_instance* instance);

  [[nodiscard]] const std::string& name() const { return name_; }
  // Of the descriptor that the state travels as.
  [[nodiscard]] std::string descriptor() const { return "state." + name_; }
  // In which version the successor reads it; known from the first background round on.
  [[nodiscard]] std::uint32_t agreed_version() const { return agreed_; }

  // Predecessor: the program has written it. invalid_argument: not a memfd that can be relied on.
  base::Result<void> written(segue_instance* instance, os::UniqueFd memory, std::uint64_t bytes);
  // Successor: it has come; -1: it was taken back.
  base::Result<void> arrived(int fd);
  // The STATE for the program; nothing is there in a first instance.
  [[nodiscard]] bool present() const { return static_cast<bool>(memory_); }
  [[nodiscard]] Message message() const;
  [[nodiscard]] int memory() const { return memory_.get(); }
  void forget(segue_instance* instance);

 private:
  static const segue_table_ops& table_ops();
  int encode(segue_writer* out);
  int decode(const segue_record* record);
  int lower(std::uint32_t from, const segue_record* in, segue_writer* out);

  std::string name_;
  std::uint32_t version_;
  std::uint32_t oldest_;
  std::uint32_t agreed_;
  std::uint32_t received_version_ = 0;
  std::uint64_t bytes_ = 0;
  os::UniqueFd memory_;
  segue_table* table_ = nullptr;
};

}  // namespace segue::level1
