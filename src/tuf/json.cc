// SPDX-License-Identifier: Apache-2.0
#include "tuf/json.h"

#include <vector>

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxShownBytes = 60;

// Builds the value while it is read, so that what is too deep or repeated ends the reading.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(Json::number_integer_t value) override { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) override { return add(value); }
  bool number_float(Json::number_float_t /*value*/, const std::string& text) override {
    std::string why =
        "the number " + text.substr(0, kMaxShownBytes) + " is not an integer of 64 bits";
    if (!name_.empty()) why += ", after the name '" + name_.substr(0, kMaxShownBytes) + "'";
    return refuse(std::move(why));
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t& /*value*/) override { return refuse("binary data"); }
  bool start_object(std::size_t /*count*/) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*count*/) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    if (open_.back()->contains(name)) {
      return refuse("the name '" + name.substr(0, kMaxShownBytes) + "' stands twice in an object");
    }
    name_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return refuse("not JSON at byte " + std::to_string(position));
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  Json take() { return std::move(root_); }

 private:
  bool refuse(std::string why) {
    problem_ = std::move(why);
    return false;
  }

  bool open(Json container) {
    if (open_.size() == kMaxJsonDepth) {
      return refuse("nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
    }
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[name_] = std::move(value));
  }

  Json root_;
  std::vector<Json*> open_;  // of each only the last child is open, so that none of them moves
  std::string name_;
  std::string problem_;
};

// The length of the UTF-8 sequence that begins here (RFC 3629), or 0.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto continues = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
  const unsigned first = at(0);
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first <= 0xDFU) return continues(1) ? 2 : 0;
  if (first >= 0xE0U && first <= 0xEFU) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xE0U && at(1) < 0xA0U) return 0;   // overlong
    if (first == 0xEDU && at(1) >= 0xA0U) return 0;  // a surrogate
    return 3;
  }
  if (first >= 0xF0U && first <= 0xF4U) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xF0U && at(1) < 0x90U) return 0;
    if (first == 0xF4U && at(1) >= 0x90U) return 0;
    return 4;
  }
  return 0;
}

Result<void> append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      return fail(ErrorCode::invalid_argument, "a string is not UTF-8, which JSON has to be");
    }
    if (text.front() == '"' || text.front() == '\\') out += '\\';
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  out += '"';
  return {};
}

Result<void> append(std::string& out, const Json& value, std::size_t depth) {
  if (depth > kMaxJsonDepth) {
    return fail(ErrorCode::invalid_argument, "nested deeper than {} levels", kMaxJsonDepth);
  }
  switch (value.type()) {
    case Json::value_t::object: {
      char separator = '{';
      for (const auto& [name, member] : value.items()) {
        out += separator;
        SEGUE_TRY(append_string(out, name));
        out += ':';
        SEGUE_TRY(append(out, member, depth + 1));
        separator = ',';
      }
      out += separator == '{' ? "{}" : "}";
      return {};
    }
    case Json::value_t::array: {
      char separator = '[';
      for (const auto& member : value) {
        out += separator;
        SEGUE_TRY(append(out, member, depth + 1));
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      return {};
    }
    case Json::value_t::string:
      return append_string(out, value.get_ref<const std::string&>());
    case Json::value_t::null:
    case Json::value_t::boolean:
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      out += value.dump();
      return {};
    default:
      return fail(ErrorCode::invalid_argument,
                  "metadata cannot hold a number with a fraction: use an integer or a string");
  }
}

}  // namespace

Result<Json> parse_json(std::string_view bytes) {
  // The parser would skip a byte order mark, and a signature does not cover what is skipped.
  if (bytes.starts_with("\xEF\xBB\xBF")) {
    return fail(ErrorCode::data_loss, "begins with a byte order mark");
  }
  Builder builder;
  if (!Json::sax_parse(bytes.begin(), bytes.end(), &builder)) {
    return fail(ErrorCode::data_loss, "{}", builder.problem());
  }
  return builder.take();
}

Result<std::string> canonical_json(const Json& value) {
  std::string text;
  SEGUE_TRY(append(text, value, 0));
  return text;
}

}  // namespace segue::tuf
