// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "delta/range_coder.h"
#include "delta/symbols.h"

namespace segue::delta {

// Where the content of a target's file comes from.
enum class SourceKind : std::uint8_t {
  base_content,    // what a base entry has, as it is
  patched,         // made of what a base entry has
  fresh,           // made of nothing
  target_content,  // what an earlier entry of the target has
};

struct ContentSource {
  SourceKind kind = SourceKind::fresh;
  std::uint32_t entry = 0;  // of the base, or of the target
  friend bool operator==(const ContentSource&, const ContentSource&) = default;
};

// Codes the target's manifest against the base's, in either direction, without the digests of what
// is patched or fresh: those follow from the contents. `sources` has one element per target entry;
// it says something for regular files only.
//
// Decoding fills both; digests that are not known yet are zero. data_loss for what cannot be; the
// manifest still has to pass check().
template <class Coder>
class TreeCoder {
 public:
  TreeCoder(SymbolCoder<Coder>& symbols, const Manifest& base) : symbols_(symbols), base_(base) {}

  base::Result<void> code(Manifest& target, std::vector<ContentSource>& sources);

 private:
  enum class Action : std::uint32_t { end = 0, skip = 1, modified = 2, added = 3 };

  [[nodiscard]] bool is_kept(std::size_t base_index, const Manifest& target, std::size_t index,
                             const std::vector<ContentSource>& sources) const;
  std::size_t kept_run(const Manifest& target, std::size_t index,
                       const std::vector<ContentSource>& sources) const;
  base::Result<void> keep(std::uint64_t count, Manifest& target,
                          std::vector<ContentSource>& sources);
  base::Result<Action> code_action(const Manifest& target, std::size_t index);
  base::Result<void> code_entry(Entry& entry, std::size_t index, bool is_modified,
                                ContentSource& source, const Manifest& target);
  void code_path(std::string& path, const std::string& previous);
  void code_text(std::string& text, SymbolKind kind);
  base::Result<void> code_content(Entry& entry, std::size_t index, bool is_modified,
                                  ContentSource& source, const Manifest& target);
  base::Result<void> code_attributes(Entry& entry, const Entry& like);
  base::Result<void> code_holes(Entry& entry, const Entry& like);

  SymbolCoder<Coder>& symbols_;
  const Manifest& base_;
  std::size_t cursor_ = 0;              // the base's next entry
  std::vector<std::uint32_t> kept_as_;  // base entry to target entry at the same path
  std::uint32_t last_source_ = 0;
  static constexpr std::uint32_t kNotKept = UINT32_MAX;
};

extern template class TreeCoder<RangeEncoder>;
extern template class TreeCoder<RangeDecoder>;

}  // namespace segue::delta
