// SPDX-License-Identifier: Apache-2.0
// Values into their places; where they are wrong, the place keeps what it holds.
#pragma once

#include <chrono>
#include <concepts>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "config/quantities.h"
#include "config/sections.h"
#include "fleet/members.h"
#include "fleet/strategy.h"

namespace segue::service {

inline void take(const config::Place& place, std::string& text, config::Findings& findings) {
  if (auto read = config::read_text(place, findings)) text = *std::move(read);
}

inline void take(const config::Place& place, bool& truth, config::Findings& findings) {
  if (const auto read = config::read_truth(place, findings)) truth = *read;
}

template <std::unsigned_integral T>
void take(const config::Place& place, T& number, config::Findings& findings) {
  const std::uint64_t max = std::min<std::uint64_t>(std::numeric_limits<T>::max(),
                                                    std::numeric_limits<std::int64_t>::max());
  if (const auto read = config::read_number(place, 0, max, findings)) {
    number = static_cast<T>(*read);
  }
}

inline void take(const config::Place& place, std::vector<std::string>& texts,
                 config::Findings& findings) {
  if (auto read = config::read_texts(place, findings)) texts = *std::move(read);
}

template <fleet::HasWords T>
void take(const config::Place& place, T& value, config::Findings& findings) {
  const auto read =
      config::read_parsed(place, findings, [](const std::string& text) -> base::Result<T> {
        if (const auto known = fleet::enumerator_of<T>(text)) return *known;
        std::string all;
        for (int number = 0; !to_string(static_cast<T>(number)).empty(); ++number) {
          all.append(all.empty() ? "" : ", ").append(to_string(static_cast<T>(number)));
        }
        return base::fail(base::ErrorCode::invalid_argument, "'{}' is none of {}",
                          text.substr(0, 40), all);
      });
  if (read) value = *read;
}

inline base::Result<std::uint64_t> parse_whole_ms(const std::string& text) {
  SEGUE_ASSIGN(const std::uint64_t time_us, config::parse_time_span_us(text));
  if (time_us % 1'000 == 0) return time_us / 1'000;
  return base::fail(base::ErrorCode::invalid_argument, "'{}' is not a whole number of milliseconds",
                    text);
}

inline void take_ms(const config::Place& place, std::uint32_t& time_ms,
                    config::Findings& findings) {
  const auto read = config::read_parsed(place, findings, parse_whole_ms);
  if (!read) return;
  if (*read > std::numeric_limits<std::uint32_t>::max()) {
    findings.add(place, "too long: at most 49d");
  } else {
    time_ms = static_cast<std::uint32_t>(*read);
  }
}

inline void take(const config::Place& place, std::chrono::milliseconds& time,
                 config::Findings& findings) {
  if (const auto read = config::read_parsed(place, findings, parse_whole_ms)) {
    time = std::chrono::milliseconds(*read);
  }
}

// The reader of a key that is one value.
template <class T>
config::Key value_key(std::string name, T& value, config::Findings& findings) {
  return {std::move(name), [&value, &findings](const config::Layers& layers) {
            take(layers.back(), value, findings);
          }};
}

}  // namespace segue::service
