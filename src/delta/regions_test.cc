// SPDX-License-Identifier: Apache-2.0
#include "delta/regions.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "delta/file_coder.h"

namespace segue::delta {
namespace {

// What objdump -d says of each.
TEST(X86_64, lengths_and_fields) {
  const auto expect = [](const Bytes& code, std::size_t length, std::size_t field_at) {
    const Instruction found = decode_x86_64(code);
    EXPECT_EQ(found.length, length);
    EXPECT_EQ(found.field_at, field_at);
  };
  expect({0xe8, 1, 2, 3, 4}, 5, 1);                                 // call
  expect({0xe9, 1, 2, 3, 4}, 5, 1);                                 // jmp
  expect({0x0f, 0x84, 1, 2, 3, 4}, 6, 2);                           // je
  expect({0x48, 0x8d, 0x05, 1, 2, 3, 4}, 7, 3);                     // lea rax,[rip+x]
  expect({0x48, 0x8b, 0x44, 0x24, 0x08}, 5, 0);                     // mov rax,[rsp+8]
  expect({0xc7, 0x05, 1, 2, 3, 4, 9, 9, 9, 9}, 10, 2);              // mov dword [rip+x],imm32
  expect({0x66, 0xc7, 0x05, 1, 2, 3, 4, 9, 9}, 9, 3);               // mov word [rip+x],imm16
  expect({0x80, 0x3d, 1, 2, 3, 4, 0}, 7, 2);                        // cmp byte [rip+x],0
  expect({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 0);              // movabs rax,imm64
  expect({0xf6, 0x05, 1, 2, 3, 4, 1}, 7, 2);                        // test byte [rip+x],1
  expect({0xf7, 0xd8}, 2, 0);                                       // neg eax
  expect({0xc5, 0xf8, 0x28, 0x05, 1, 2, 3, 4}, 8, 4);               // vmovaps xmm0,[rip+x]
  expect({0xc4, 0xe2, 0x79, 0x18, 0x05, 1, 2, 3, 4}, 9, 5);         // vbroadcastss xmm0,[rip+x]
  expect({0x62, 0xf1, 0x7c, 0x48, 0x28, 0x05, 1, 2, 3, 4}, 10, 6);  // vmovaps zmm0,[rip+x]
  expect({0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8}, 6, 0);                  // palignr xmm0,xmm1,8
  expect({0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, 8, 0);                  // nop
  expect({0x06}, 0, 0);                                             // none in 64-bit mode
  expect({0xe8, 1, 2}, 0, 0);                                       // cut off
  expect({}, 0, 0);
}

// A program of calls whose targets move: 200 functions behind an insertion.
struct Program {
  static constexpr std::uint64_t kAddress = 0x401000;
  static Bytes code(const std::vector<std::size_t>& function_sizes, std::mt19937 generator) {
    std::vector<std::size_t> begins = {0};
    for (const std::size_t size : function_sizes) begins.push_back(begins.back() + size);
    Bytes bytes(begins.back(), 0x90);
    for (std::size_t i = 0; i < function_sizes.size(); ++i) {
      for (std::size_t at = begins[i]; at + 8 <= begins[i] + 64; at += 8) {
        bytes[at] = 0xe8;
        const std::size_t to = begins[generator() % function_sizes.size()];
        store_u32(&bytes[at + 1], static_cast<std::uint32_t>(to - (at + 5)));
        bytes[at + 6] = static_cast<std::uint8_t>(0x50 + generator() % 8);
      }
    }
    return bytes;
  }
};

std::size_t coded_size(const Bytes& base, const Bytes& target, FilePlan plan) {
  Bytes coded;
  const Emit ignore = [](ByteView) { return base::Result<void>(); };
  {
    RangeEncoder encoder(coded);
    SymbolCoder<RangeEncoder> symbols(encoder);
    LiteralCoder<RangeEncoder> literals(encoder, 8);
    FileCoder<RangeEncoder> files(symbols, literals, {});
    EXPECT_TRUE(files.code(base, target.size(), target, plan, ignore));
    encoder.finish();
  }
  Bytes rebuilt;
  ByteView left = coded;
  RangeDecoder decoder([&] { return std::exchange(left, ByteView()); });
  SymbolCoder<RangeDecoder> symbols(decoder);
  LiteralCoder<RangeDecoder> literals(decoder, 8);
  FileCoder<RangeDecoder> files(symbols, literals, {});
  FilePlan read;
  const auto result = files.code(base, target.size(), {}, read, [&](ByteView piece) {
    rebuilt.insert(rebuilt.end(), piece.begin(), piece.end());
    return base::Result<void>();
  });
  EXPECT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(rebuilt, target);
  return coded.size();
}

TEST(Regions, predicted_addresses_cost_next_to_nothing) {
  std::vector<std::size_t> sizes(200, 64);
  const std::mt19937 generator(5);
  const Bytes base = Program::code(sizes, generator);
  sizes[100] = 64 + 32;  // 32 bytes of padding more
  const Bytes target = Program::code(sizes, generator);
  FilePlan plan;
  plan.operations = {{0, 101 * 64, 32}, {101 * 64, base.size() - 101 * 64, 0}};
  const std::size_t unpredicted = coded_size(base, target, plan);
  plan.regions = {{.kind = RegionKind::x86_64,
                   .base_size = base.size(),
                   .base_address = Program::kAddress,
                   .target_address = Program::kAddress}};
  const std::size_t predicted = coded_size(base, target, plan);
  EXPECT_GT(unpredicted, 250U);
  EXPECT_LT(predicted, 60U);
}

TEST(Regions, fields_of_noise_are_found_without_harm) {
  std::mt19937 generator(6);
  for (std::uint32_t kind = 0; kind < static_cast<std::uint32_t>(RegionKind::count); ++kind) {
    Bytes bytes(3000 + kind);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(generator());
    if (kind == static_cast<std::uint32_t>(RegionKind::go_functions)) {
      store_u32(bytes.data(), 0xfffffff1);
      for (std::size_t i = 8; i < 72; i += 8) store_u64(&bytes[i], generator() % bytes.size());
    }
    const std::vector<Region> regions = {
        {.kind = RegionKind::x86_64, .base_size = 8, .base_address = 16, .target_address = 16},
        {.kind = static_cast<RegionKind>(kind),
         .base_offset = 8,
         .base_size = bytes.size() - 8,
         .base_address = 64,
         .target_offset = 8,
         .target_address = 64}};
    std::uint64_t end = 0;
    for (const Field& field : find_fields(bytes, regions)) {
      EXPECT_GE(field.at, end);
      end = std::uint64_t{field.at} + field.size;
      EXPECT_LE(end, bytes.size());
      EXPECT_NE(region_of_address(regions, address_in(field, bytes, regions)), nullptr);
    }
  }
}

}  // namespace
}  // namespace segue::delta
