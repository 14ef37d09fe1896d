// SPDX-License-Identifier: Apache-2.0
#include "traffic/kernel_split.h"

#include <array>
#include <cassert>

namespace segue::traffic {
namespace {

constexpr std::uint32_t kNet = static_cast<std::uint32_t>(SKF_NET_OFF);  // the IP header
constexpr std::uint32_t kRandom = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM);
constexpr std::uint32_t kSourceOfIpv4 = 12;  // RFC 791
constexpr std::uint32_t kSourceOfIpv6 = 8;   // RFC 8200
constexpr std::uint32_t kPlainIpv4 = 0x45;   // version 4, no options
constexpr std::uint32_t kPortAfterIpv4 = 20;
constexpr std::uint32_t kPortAfterIpv6 = 40;
constexpr std::uint32_t kVersion6 = 6;
constexpr std::size_t kIpv4Bytes = 4;
constexpr std::size_t kIpv6Bytes = 16;

// The finalizer of MurmurHash3 (A. Appleby, public domain): every bit of the input changes every
// bit of the output with a probability of about one half.
struct MixStep {
  std::uint32_t shift;
  std::uint32_t factor;  // 0: none
};
constexpr std::array<MixStep, 3> kMix = {{{16, 0x85EBCA6B}, {13, 0xC2B2AE35}, {16, 0}}};

constexpr sock_filter statement(int code, std::uint32_t k) {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}
constexpr sock_filter jump(int code, std::uint32_t k, std::size_t if_true, std::size_t if_false) {
  return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(if_true),
          static_cast<std::uint8_t>(if_false), k};
}
constexpr sock_filter load(int size, std::uint32_t offset) {
  return statement(BPF_LD | BPF_ABS | size, offset);
}
constexpr sock_filter answer(std::uint32_t index) {
  return statement(BPF_RET | BPF_K, index);
}

void append(SplitProgram& program, std::initializer_list<sock_filter> more) {
  program.insert(program.end(), more);
}

std::uint32_t mixed(std::uint32_t value) {
  for (const auto& step : kMix) {
    value ^= value >> step.shift;
    if (step.factor != 0) value *= step.factor;
  }
  return value;
}

// A becomes mixed(A); X is used.
void append_mix(SplitProgram& program) {
  for (const auto& step : kMix) {
    append(program,
           {statement(BPF_MISC | BPF_TAX, 0), statement(BPF_ALU | BPF_RSH | BPF_K, step.shift),
            statement(BPF_ALU | BPF_XOR | BPF_X, 0)});
    if (step.factor != 0) append(program, {statement(BPF_ALU | BPF_MUL | BPF_K, step.factor)});
  }
}

// Below it is the canary's part of 2³² equally likely values.
std::uint32_t threshold_of(std::uint32_t share_ppm) {
  assert(share_ppm > 0 && share_ppm < kWholePpm);
  return static_cast<std::uint32_t>((std::uint64_t{share_ppm} << 32) / kWholePpm);
}

// A becomes the hash of the source address.
void append_source_hash(SplitProgram& program, std::uint32_t salt) {
  SplitProgram ipv4{load(BPF_W, kNet + kSourceOfIpv4), statement(BPF_ALU | BPF_XOR | BPF_K, salt)};
  append_mix(ipv4);
  SplitProgram ipv6{load(BPF_W, kNet + kSourceOfIpv6), statement(BPF_ALU | BPF_XOR | BPF_K, salt)};
  append_mix(ipv6);
  append(ipv6, {statement(BPF_ST, 0), load(BPF_W, kNet + kSourceOfIpv6 + 4),
                statement(BPF_LDX | BPF_MEM, 0), statement(BPF_ALU | BPF_XOR | BPF_X, 0)});
  append_mix(ipv6);
  append(ipv4, {statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(ipv6.size()))});
  append(program, {load(BPF_B, kNet), statement(BPF_ALU | BPF_RSH | BPF_K, 4),
                   jump(BPF_JMP | BPF_JEQ | BPF_K, kVersion6, ipv4.size(), 0)});
  program.insert(program.end(), ipv4.begin(), ipv4.end());
  program.insert(program.end(), ipv6.begin(), ipv6.end());
}

std::uint32_t word_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t word = 0;
  for (std::size_t i = at; i < at + 4; ++i) word = (word << 8) | bytes[i];
  return word;
}

}  // namespace

SplitProgram constant_program(std::uint32_t index) {
  return {answer(index)};
}

SplitProgram split_program(const ShareRule& rule, const SplitMembers& members) {
  if (rule.share_ppm == 0) return constant_program(members.stable);
  if (rule.share_ppm >= kWholePpm) return constant_program(members.canary);
  SplitProgram program;
  if (rule.pick == Pick::source) {
    append_source_hash(program, rule.salt);
  } else {
    append(program, {load(BPF_W, kRandom)});
  }
  append(program, {jump(BPF_JMP | BPF_JGE | BPF_K, threshold_of(rule.share_ppm), 0, 1),
                   answer(members.stable), answer(members.canary)});
  return program;
}

SplitProgram with_probes(const ProbeRoutes& probes, const SplitProgram& otherwise) {
  assert(probes.routes.size() <= ProbeRoutes::kMax);
  assert(probes.source.size() == kIpv4Bytes || probes.source.size() == kIpv6Bytes);
  const bool v6 = probes.source.size() == kIpv6Bytes;
  SplitProgram routes{load(BPF_H, kNet + (v6 ? kPortAfterIpv6 : kPortAfterIpv4))};
  for (const auto& [port, index] : probes.routes) {
    append(routes, {jump(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1), answer(index)});
  }
  struct Test {
    SplitProgram load;
    std::uint32_t wanted;
  };
  std::vector<Test> tests;
  if (v6) {
    tests.push_back({{load(BPF_B, kNet), statement(BPF_ALU | BPF_RSH | BPF_K, 4)}, kVersion6});
  } else {
    tests.push_back({{load(BPF_B, kNet)}, kPlainIpv4});
  }
  const std::uint32_t source = kNet + (v6 ? kSourceOfIpv6 : kSourceOfIpv4);
  for (std::size_t at = 0; at < probes.source.size(); at += 4) {
    tests.push_back(
        {{load(BPF_W, source + static_cast<std::uint32_t>(at))}, word_at(probes.source, at)});
  }
  SplitProgram program;
  std::size_t left = routes.size();
  for (const auto& test : tests) left += test.load.size() + 1;
  for (const auto& test : tests) {
    left -= test.load.size() + 1;
    program.insert(program.end(), test.load.begin(), test.load.end());
    append(program, {jump(BPF_JMP | BPF_JEQ | BPF_K, test.wanted, 0, left)});
  }
  program.insert(program.end(), routes.begin(), routes.end());
  program.insert(program.end(), otherwise.begin(), otherwise.end());
  return program;
}

std::uint32_t source_hash(std::span<const std::uint8_t> address, std::uint32_t salt) {
  assert(address.size() == kIpv4Bytes || address.size() == kIpv6Bytes);
  const std::uint32_t first = mixed(word_at(address, 0) ^ salt);
  return address.size() == kIpv4Bytes ? first : mixed(word_at(address, 4) ^ first);
}

bool is_canary_source(std::span<const std::uint8_t> address, const ShareRule& rule) {
  if (rule.share_ppm == 0) return false;
  if (rule.share_ppm >= kWholePpm) return true;
  return source_hash(address, rule.salt) < threshold_of(rule.share_ppm);
}

}  // namespace segue::traffic
