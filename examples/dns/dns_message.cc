// SPDX-License-Identifier: Apache-2.0
#include "dns_message.h"

#include <optional>

namespace dns {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kMaxLabelBytes = 63;
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::uint16_t kClassInternet = 1;
constexpr std::uint16_t kPointerToQuestion = 0xC000 | kHeaderBytes;
constexpr std::uint32_t kTimeToLiveS = 1;

constexpr std::uint8_t kResponse = 0x80;  // in byte 2 of the header
constexpr std::uint8_t kOpcode = 0x78;
constexpr std::uint8_t kAuthoritative = 0x04;
constexpr std::uint8_t kTruncated = 0x02;
constexpr std::uint8_t kRecursionDesired = 0x01;

enum class Code : std::uint8_t {
  no_error = 0,
  format_error = 1,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
};

struct Question {
  std::string name;
  std::uint16_t type;
  std::uint16_t cls;
  std::size_t end;  // in the message
};

std::uint16_t read_u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>((bytes[at] << 8) | bytes[at + 1]);
}

void write_u16(std::vector<std::uint8_t>& out, std::size_t number) {
  out.push_back(static_cast<std::uint8_t>(number >> 8));
  out.push_back(static_cast<std::uint8_t>(number));
}

char lower(std::uint8_t letter) {
  return static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

// The first question. A name in it has nothing in front that it could point to.
std::optional<Question> read_question(std::span<const std::uint8_t> message) {
  Question question{};
  std::size_t at = kHeaderBytes;
  while (at < message.size() && message[at] != 0) {
    const std::size_t size = message[at++];
    if (size > kMaxLabelBytes || at + size > message.size()) return std::nullopt;
    if (!question.name.empty()) question.name += '.';
    for (const std::uint8_t letter : message.subspan(at, size)) question.name += lower(letter);
    at += size;
    if (at - kHeaderBytes >= kMaxNameBytes) return std::nullopt;
  }
  if (at + 5 > message.size()) return std::nullopt;
  question.type = read_u16(message, at + 1);
  question.cls = read_u16(message, at + 3);
  question.end = at + 5;
  return question;
}

void write_record(std::vector<std::uint8_t>& out, const Record& record) {
  const bool is_text = record.type == kTypeTxt;
  write_u16(out, kPointerToQuestion);
  write_u16(out, record.type);
  write_u16(out, kClassInternet);
  write_u16(out, 0);
  write_u16(out, kTimeToLiveS);
  write_u16(out, record.data.size() + (is_text ? 1 : 0));
  if (is_text) out.push_back(static_cast<std::uint8_t>(record.data.size()));
  out.insert(out.end(), record.data.begin(), record.data.end());
}

std::vector<std::uint8_t> reply(std::span<const std::uint8_t> query, const Question* question,
                                const std::vector<Record>& records, Code code) {
  std::vector<std::uint8_t> out(query.begin(), query.begin() + 2);
  out.push_back(static_cast<std::uint8_t>(kResponse | kAuthoritative |
                                          (query[2] & (kOpcode | kRecursionDesired))));
  out.push_back(static_cast<std::uint8_t>(code));
  out.resize(kHeaderBytes);
  if (question == nullptr) return out;
  out[5] = 1;  // QDCOUNT
  out.insert(out.end(), query.begin() + kHeaderBytes,
             query.begin() + static_cast<std::ptrdiff_t>(question->end));
  for (const Record& record : records) {
    if (record.type != question->type) continue;
    const std::size_t size = out.size();
    write_record(out, record);
    if (out.size() > kMaxMessageBytes) {
      out.resize(size);
      out[2] |= kTruncated;
      break;
    }
    ++out[7];  // ANCOUNT; fewer than 256 fit
  }
  return out;
}

}  // namespace

std::vector<std::uint8_t> answer(std::span<const std::uint8_t> query, const Zone& zone) {
  if (query.size() < kHeaderBytes || (query[2] & kResponse) != 0) return {};
  if ((query[2] & kOpcode) != 0) return reply(query, nullptr, {}, Code::not_implemented);
  if (read_u16(query, 4) != 1) return reply(query, nullptr, {}, Code::format_error);
  const auto question = read_question(query);
  if (!question) return reply(query, nullptr, {}, Code::format_error);
  if (question->cls != kClassInternet) return reply(query, &*question, {}, Code::refused);
  const auto found = zone.find(question->name);
  if (found == zone.end()) return reply(query, &*question, {}, Code::no_such_name);
  return reply(query, &*question, found->second, Code::no_error);
}

}  // namespace dns
