// SPDX-License-Identifier: Apache-2.0
// What hosts, relays and who pretends to be one may say to a relay: a state that is read is written
// and read again as the same; a range lies within what it is of.
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "relay/fields.h"
#include "relay/source_url.h"
#include "relay/state.h"

namespace {

namespace http = boost::beast::http;

void try_request(std::string_view text) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(8 * 1024);
  boost::beast::error_code problem;
  parser.put(boost::asio::buffer(text.data(), text.size()), problem);
  if (!parser.is_header_done()) return;
  const auto asker = segue::relay::asker_of(parser.get());
  if (asker.host.size() > segue::relay::kMaxHostBytes) abort();
  if (asker.task.find_first_of("\r\n") != std::string::npos) abort();
}

void try_answer(std::string_view text) {
  http::response_parser<http::empty_body> parser;
  parser.header_limit(8 * 1024);
  parser.body_limit(boost::none);
  parser.skip(true);
  boost::beast::error_code problem;
  parser.put(boost::asio::buffer(text.data(), text.size()), problem);
  if (!parser.is_header_done()) return;
  const auto answer = segue::relay::answer_of(parser.get());
  if (answer.status != 200 && answer.total_bytes && *answer.total_bytes > 0 &&
      answer.first_byte >= *answer.total_bytes) {
    abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto state = segue::relay::read_state(text)) {
    const auto again = segue::relay::read_state(segue::relay::write_state(*state));
    if (!again || again->transfers != state->transfers) abort();
  }
  if (const auto url = segue::relay::parse_source_url(text)) {
    const auto again = segue::relay::parse_source_url("http://" + url->authority() + url->path);
    if (!again || !(*again == *url)) abort();
  }
  try_request(text);
  try_answer(text);
  return 0;
}
