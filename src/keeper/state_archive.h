// SPDX-License-Identifier: Apache-2.0
// Writes and reads structures as records of fields (handoff/fields.h). A structure names each of
// its members once, with its tag: fields(Archive&, …), found where it is used.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "control/options.h"
#include "handoff/fields.h"
#include "keeper/saved_state.h"

namespace segue::keeper {

inline constexpr std::size_t kMaxTextBytes = std::size_t{1} << 20;

template <class Archive, class T>
using Constness = std::conditional_t<Archive::kReads, T, const T>;

class Writing {
 public:
  static constexpr bool kReads = false;

  template <class T>
  void number(std::uint32_t tag, const T& value) {
    handoff::put_number(out_, tag, static_cast<std::uint64_t>(value));
  }
  template <class T>
  void choice(std::uint32_t tag, const T& value, int /*count*/) {
    number(tag, value);
  }
  // What is mostly not so takes no room.
  void flag(std::uint32_t tag, bool value) {
    if (value) number(tag, value);
  }
  void signed_number(std::uint32_t tag, std::int32_t value) { number(tag, handoff::zigzag(value)); }
  void time(std::uint32_t tag, const MonotonicTime& value) {
    number(tag, handoff::zigzag(value.time_since_epoch().count()));
  }
  void time(std::uint32_t tag, const std::optional<MonotonicTime>& value) {
    if (value) time(tag, *value);
  }
  void duration(std::uint32_t tag, const std::optional<base::Duration>& value) {
    if (value) number(tag, handoff::zigzag(value->count()));
  }
  void text(std::uint32_t tag, const std::string& value) { handoff::put_field(out_, tag, value); }
  void optional_text(std::uint32_t tag, const std::string& value) {
    if (!value.empty()) text(tag, value);
  }
  template <class Texts>
  void texts(std::uint32_t tag, const Texts& values) {
    for (const auto& value : values) text(tag, value);
  }
  template <class T>
  void record(std::uint32_t tag, const T& value);
  template <class Records>
  void records(std::uint32_t tag, const Records& values) {
    for (const auto& value : values) record(tag, value);
  }
  template <class Options>
  void options(std::uint32_t tag, const Options& value) {
    control::Request words;
    control::append_options(words, value);
    for (const auto& option : words.options) text(tag, option.key + "=" + option.value);
  }
  template <class T>
  void maybe(std::uint32_t tag, const std::optional<T>& value) {
    if (value) record(tag, *value);
  }
  [[nodiscard]] std::string take() { return std::move(out_.fields); }

 private:
  segue_writer out_;
};

class Reading {
 public:
  static constexpr bool kReads = true;

  Reading(std::string_view record, std::string& problem) : record_(record), problem_(problem) {
    if (!handoff::is_record(record)) complain(0, "is not a record");
  }

  template <class T>
  void number(std::uint32_t tag, T& value) {
    const auto field = handoff::find_field(record_, tag);
    if (!field) return;
    const auto got = handoff::number_of(*field);
    constexpr auto kMax = std::is_same_v<T, bool>
                              ? std::uint64_t{1}
                              : static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (!got || *got > kMax) return complain(tag, "is not a number in its range");
    value = static_cast<T>(*got);
  }
  template <class T>
  void choice(std::uint32_t tag, T& value, int count) {
    std::uint32_t index = 0;
    number(tag, index);
    if (index >= static_cast<std::uint32_t>(count)) return complain(tag, "is out of its range");
    value = static_cast<T>(index);
  }
  void flag(std::uint32_t tag, bool& value) { number(tag, value); }
  void signed_number(std::uint32_t tag, std::int32_t& value) {
    std::uint64_t coded = handoff::zigzag(value);
    number(tag, coded);
    const std::int64_t number = handoff::unzigzag(coded);
    if (number < std::numeric_limits<std::int32_t>::min() ||
        number > std::numeric_limits<std::int32_t>::max()) {
      return complain(tag, "is not a number in its range");
    }
    value = static_cast<std::int32_t>(number);
  }
  void time(std::uint32_t tag, MonotonicTime& value) {
    std::uint64_t coded = handoff::zigzag(value.time_since_epoch().count());
    number(tag, coded);
    const std::int64_t ns = handoff::unzigzag(coded);
    // Far from the ends, so that durations can be added to it.
    if (ns < 0 || ns > std::numeric_limits<std::int64_t>::max() / 4) {
      return complain(tag, "is not a time");
    }
    value = MonotonicTime(base::Duration(ns));
  }
  void time(std::uint32_t tag, std::optional<MonotonicTime>& value) {
    if (!handoff::find_field(record_, tag)) return;
    value.emplace();
    time(tag, *value);
  }
  void duration(std::uint32_t tag, std::optional<base::Duration>& value) {
    std::optional<MonotonicTime> since_zero;  // has the same bounds
    time(tag, since_zero);
    if (since_zero) value = since_zero->time_since_epoch();
  }
  void text(std::uint32_t tag, std::string& value) {
    if (const auto field = handoff::find_field(record_, tag)) take_text(tag, *field, value);
  }
  void optional_text(std::uint32_t tag, std::string& value) { text(tag, value); }
  template <class Texts>
  void texts(std::uint32_t tag, Texts& values) {
    each(tag, [&](std::string_view field) { take_text(tag, field, values.emplace_back()); });
  }
  template <class T>
  void record(std::uint32_t tag, T& value) {
    if (const auto field = handoff::find_field(record_, tag)) take_record(*field, value);
  }
  template <class Records>
  void records(std::uint32_t tag, Records& values) {
    each(tag, [&](std::string_view field) { take_record(field, values.emplace_back()); });
  }
  template <class T>
  void maybe(std::uint32_t tag, std::optional<T>& value) {
    if (handoff::find_field(record_, tag)) record(tag, value.emplace());
  }
  // Options that this program does not know are skipped, as unknown tags are.
  void options(std::uint32_t tag, control::RunOptions& value) { value = known_options(tag).run; }
  void options(std::uint32_t tag, control::AttemptOptions& value) {
    value = known_options(tag).attempt;
  }
  // What only fits together with others of them is checked with the whole state.
  void options(std::uint32_t tag, control::ContractOptions& value) {
    each_option(tag, [&](const control::Request::Option& option) {
      (void)control::assign_contract_option(option, value);
    });
  }

 private:
  template <class Visit>
  void each(std::uint32_t tag, const Visit& visit) {
    std::size_t count = 0;
    for (std::string_view rest = record_; !rest.empty();) {
      const auto field = handoff::take_field(rest);
      if (!field) return;  // said before
      if (field->tag != tag) continue;
      if (++count > kMaxStateEntries) return complain(tag, "occurs too often");
      visit(field->bytes);
    }
  }
  void take_text(std::uint32_t tag, std::string_view field, std::string& value) {
    if (field.size() > kMaxTextBytes) return complain(tag, "is too long");
    value = field;
  }
  template <class T>
  void take_record(std::string_view field, T& value);

  template <class Visit>
  void each_option(std::uint32_t tag, const Visit& visit) {
    each(tag, [&](std::string_view word) {
      const std::size_t equals = word.find('=');
      if (equals == std::string_view::npos) return complain(tag, "is not KEY=VALUE");
      visit({std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))});
    });
  }
  control::ParsedRequest known_options(std::uint32_t tag) {
    control::Request known;
    each_option(tag, [&](const control::Request::Option& option) {
      control::Request one;
      one.options.push_back(option);
      if (control::parse_options(one)) known.options.push_back(option);
    });
    return control::parse_options(known).value_or(control::ParsedRequest{});
  }
  void complain(std::uint32_t tag, std::string_view what) {
    if (problem_.empty()) problem_ = fmt::format("field {} {}", tag, what);
  }

  std::string_view record_;
  std::string& problem_;
};

template <class T>
void Writing::record(std::uint32_t tag, const T& value) {
  Writing inner;
  fields(inner, value);
  handoff::put_field(out_, tag, inner.take());
}

template <class T>
void Reading::take_record(std::string_view field, T& value) {
  Reading inner(field, problem_);
  if (problem_.empty()) fields(inner, value);
}

}  // namespace segue::keeper
