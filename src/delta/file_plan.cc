// SPDX-License-Identifier: Apache-2.0
#include "delta/file_plan.h"

#include <algorithm>
#include <numeric>

#include "delta/elf_regions.h"
#include "delta/large_file.h"

namespace segue::delta {

std::vector<Operation> operations_between(ByteView base, ByteView target) {
  if (base.size() > kMaxMatchBytes || target.size() > kMaxMatchBytes) {
    return operations_of_large(base, target);
  }
  return find_operations(base, target, {});
}

void bound_operations(std::vector<Operation>& operations) {
  if (operations.size() <= kMaxOperations) return;
  std::uint64_t rest = 0;
  for (std::size_t i = kMaxOperations; i < operations.size(); ++i) {
    rest += operations[i].copied + operations[i].literal;
  }
  operations.resize(kMaxOperations);
  operations.back().literal += rest;
}

std::uint64_t literals_of(const std::vector<Operation>& operations) {
  return std::accumulate(
      operations.begin(), operations.end(), std::uint64_t{0},
      [](std::uint64_t sum, const Operation& operation) { return sum + operation.literal; });
}

FilePlan plan_file(ByteView base, ByteView target, bool is_base_in_memory) {
  FilePlan plan;
  plan.is_base_in_memory = is_base_in_memory;
  if (target.empty()) return plan;
  if (base.empty()) {
    plan.operations.push_back({0, 0, target.size()});
    plan.literal_bytes = target.size();
    return plan;
  }
  plan.base_bytes = base.size();
  const bool may_be_program =
      base.size() <= kMaxMatchBytes && target.size() <= kMaxMatchBytes &&
      (!is_base_in_memory || base.size() + target.size() <= kMaxInMemoryBytes);
  ProgramPair programs;
  if (may_be_program) programs = pair_elf_programs(base, target);
  if (programs.regions.empty()) {
    plan.operations = operations_between(base, target);
  } else {
    const auto base_fields = find_fields(base, programs.regions);
    const auto target_fields = find_fields(target, programs.target_regions);
    plan.operations =
        find_operations(with_labels(base, programs.regions, base_fields),
                        with_labels(target, programs.target_regions, target_fields), {});
    plan.regions = std::move(programs.regions);
  }
  bound_operations(plan.operations);
  plan.literal_bytes = literals_of(plan.operations);
  return plan;
}

void Framer::consider(FilePlan& plan, ByteView base, ByteView target) {
  constexpr std::uint64_t kManyLiterals = 32 * 1024;
  constexpr std::uint64_t kOperationBytes = 4;  // what one costs, as seen
  const std::uint64_t most = plan.is_base_in_memory ? kMaxInMemoryBytes : kMaxPrefixedBytes;
  if (base.empty() || !plan.regions.empty() || plan.literal_bytes < kManyLiterals ||
      plan.literal_bytes < target.size() / 16 || base.size() + target.size() > most) {
    return;
  }
  BulkWriter literals(BulkCodec::lzma);
  std::uint64_t place = 0;
  for (const Operation& operation : plan.operations) {
    literals.write(target.subspan(static_cast<std::size_t>(place + operation.copied),
                                  static_cast<std::size_t>(operation.literal)));
    place += operation.copied + operation.literal;
  }
  FramePrefix tried = prefix_;
  Bytes frame = compress_with_prefix(tried.with(base, target.size()), target);
  if (frame.size() >= literals.finish().size() + kOperationBytes * plan.operations.size()) return;
  const bool is_base_in_memory = plan.is_base_in_memory;
  plan = {};
  plan.is_base_in_memory = is_base_in_memory;
  plan.is_framed = true;
  plan.frame = std::move(frame);
  prefix_ = std::move(tried);
  prefix_.remember(Bytes(target.begin(), target.end()));
}

}  // namespace segue::delta
