// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace respkv {

// Writes replies in the client's protocol, RESP 2 or 3.
class Reply {
 public:
  Reply(std::string& out, int protocol) : out_(&out), protocol_(protocol) {}

  [[nodiscard]] int protocol() const { return protocol_; }

  void ok() { out_->append("+OK\r\n"); }
  void simple(std::string_view text);
  // The whole text, code included: "ERR no such key". Line ends in it become spaces.
  void error(std::string_view text);
  void integer(std::int64_t number);
  void bulk(std::string_view bytes);
  void real(double number);
  void null();
  void null_array();

  // Headers: `count` items follow; a map's items are pairs.
  void array(std::size_t count) { header('*', count); }
  void map(std::size_t count) { protocol_ < 3 ? header('*', count * 2) : header('%', count); }
  void set(std::size_t count) { header(protocol_ < 3 ? '*' : '~', count); }
  void push(std::size_t count) { header(protocol_ < 3 ? '*' : '>', count); }

  // Often needed errors.
  void wrong_type() { error("WRONGTYPE Operation against a key holding the wrong kind of value"); }
  void not_an_integer() { error("ERR value is not an integer or out of range"); }
  void not_a_float() { error("ERR value is not a valid float"); }
  void syntax_error() { error("ERR syntax error"); }

 private:
  void header(char type, std::size_t count);
  void number_line(char type, std::int64_t number);

  std::string* out_;
  int protocol_;
};

}  // namespace respkv
