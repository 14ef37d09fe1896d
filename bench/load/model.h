// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace segue::load {

// What the server has to hold: per key the last value sent and the last one acknowledged. Each key
// is written by one connection only, so that its writes have one order.
class WriteModel {
 public:
  explicit WriteModel(std::size_t key_count) : keys_(key_count) {}

  enum class Verdict : std::uint8_t {
    good,
    lost,   // an acknowledged write is not there
    wrong,  // holds what nobody wrote
  };

  [[nodiscard]] std::size_t key_count() const { return keys_.size(); }
  // The next value of `key`, which the caller sends now; values count from 1.
  std::uint32_t send(std::uint32_t key) { return ++keys_[key].sent; }
  void acknowledge(std::uint32_t key, std::uint32_t sequence) {
    keys_[key].acknowledged = sequence;
  }
  [[nodiscard]] std::uint32_t last_sent(std::uint32_t key) const { return keys_[key].sent; }
  [[nodiscard]] bool was_written(std::uint32_t key) const { return keys_[key].sent != 0; }

  // `stored`: the sequence that the server holds, empty where it has no such key. While writes are
  // unanswered (their connection was cut) anything from the last acknowledged to the last sent is
  // good; otherwise exactly the last acknowledged.
  [[nodiscard]] Verdict check(std::uint32_t key, std::optional<std::uint32_t> stored) const;

 private:
  struct Key {
    std::uint32_t sent = 0;
    std::uint32_t acknowledged = 0;
  };
  std::vector<Key> keys_;
};

}  // namespace segue::load
