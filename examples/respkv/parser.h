// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace respkv {

inline constexpr std::size_t kMaxBulkBytes = std::size_t{512} << 20U;
inline constexpr std::int64_t kMaxArguments = std::int64_t{1} << 20U;
inline constexpr std::size_t kMaxInlineBytes = std::size_t{64} << 10U;

// Reads one request of the Redis protocol: an array of bulk strings, or an inline command.
// It never looks at a byte of an argument twice, however small the pieces are that arrive.
class RequestParser {
 public:
  enum class Status { complete, incomplete, malformed };

  // `input` starts with the request; after `incomplete`, call again with the same bytes and more.
  Status parse(std::string_view input);

  // After `complete`: the bytes of the request, and its arguments, which point into the input (or
  // into the parser, for an inline command). An empty request has none.
  [[nodiscard]] std::size_t size() const { return position_; }
  void arguments(std::string_view input, std::vector<std::string_view>& out) const;

  // After `incomplete`: how long the input has to be, as far as known, for the next argument.
  [[nodiscard]] std::size_t wanted() const { return wanted_; }

  // After `malformed`: what a client is told.
  [[nodiscard]] const std::string& error() const { return error_; }

  // The next request.
  void reset();

 private:
  struct Range {
    std::size_t offset;
    std::size_t size;
  };

  Status parse_array_header(std::string_view input);
  Status parse_bulks(std::string_view input);
  Status parse_inline(std::string_view input);
  Status parse_bulk_header(std::string_view input);
  Status malformed(std::string_view what);

  std::size_t position_ = 0;
  std::size_t wanted_ = 0;
  std::int64_t arguments_left_ = kHeader;
  std::int64_t bulk_size_ = kHeader;
  std::vector<Range> ranges_;
  std::vector<std::string> inline_arguments_;
  std::string error_;

  static constexpr std::int64_t kHeader = -1;  // the number is still to be read
  static constexpr std::size_t kKeptRanges = 64;
};

// Appends the request in the form that RequestParser reads.
void append_request(std::string& out, const std::vector<std::string>& arguments);

}  // namespace respkv
