// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "delta/file_coder.h"

namespace segue::delta {

// Operations of any two files; above kMaxMatchBytes in pieces, each against a part of the base.
std::vector<Operation> operations_between(ByteView base, ByteView target);

// Leaves no more operations than a reader takes: what the others made is literal.
void bound_operations(std::vector<Operation>& operations);

// Bytes that the base does not have.
std::uint64_t literals_of(const std::vector<Operation>& operations);

// How `target` is made of `base`, which may be empty; of programs by their addresses. With
// `is_base_in_memory` within what the reader allows then.
FilePlan plan_file(ByteView base, ByteView target, bool is_base_in_memory);

// Where much changed, matches that may be short cost less than operations do.
class Framer {
 public:
  // Turns the plan of (base, target) into one frame when that is smaller. Call it in the order in
  // which the files are coded: each frame refers to the file that was framed before.
  void consider(FilePlan& plan, ByteView base, ByteView target);

 private:
  FramePrefix prefix_;
};

}  // namespace segue::delta
