// SPDX-License-Identifier: Apache-2.0
#include "delta/tree_coder.h"

#include <algorithm>

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

tl::unexpected<base::Error> malformed(std::string_view what) {
  return fail(ErrorCode::data_loss, "the delta's manifest is malformed: {}", what);
}

std::uint64_t distance(std::uint64_t to, std::uint64_t from) {
  return zigzag(static_cast<std::int64_t>(to - from));
}

}  // namespace

template <class Coder>
bool TreeCoder<Coder>::is_kept(std::size_t base_index, const Manifest& target, std::size_t index,
                               const std::vector<ContentSource>& sources) const {
  const Entry& old = base_.entries[base_index];
  const Entry& now = target.entries[index];
  if (old.type == EntryType::regular &&
      sources[index] !=
          ContentSource{SourceKind::base_content, static_cast<std::uint32_t>(base_index)}) {
    return false;
  }
  if (old.type != EntryType::hard_link || now.type != EntryType::hard_link) return old == now;
  return old.path == now.path && kept_as_[old.linked_entry] == now.linked_entry;
}

template <class Coder>
std::size_t TreeCoder<Coder>::kept_run(const Manifest& target, std::size_t index,
                                       const std::vector<ContentSource>& sources) const {
  std::size_t count = 0;
  // A hard link within the run to a file within the run: kept_as_ does not know it yet.
  const auto in_run = [&](const Entry& old, const Entry& now) {
    return old.type == EntryType::hard_link && now.type == EntryType::hard_link &&
           old.path == now.path && old.linked_entry >= cursor_ && now.linked_entry >= index &&
           old.linked_entry - cursor_ == now.linked_entry - index &&
           old.linked_entry - cursor_ < count;
  };
  while (cursor_ + count < base_.entries.size() && index + count < target.entries.size() &&
         (in_run(base_.entries[cursor_ + count], target.entries[index + count]) ||
          is_kept(cursor_ + count, target, index + count, sources))) {
    ++count;
  }
  return count;
}

template <class Coder>
Result<void> TreeCoder<Coder>::keep(std::uint64_t count, Manifest& target,
                                    std::vector<ContentSource>& sources) {
  if (count > base_.entries.size() - cursor_) return malformed("more kept than there is");
  for (std::uint64_t i = 0; i < count; ++i, ++cursor_) {
    if constexpr (!Coder::kEncodes) {
      Entry entry = base_.entries[cursor_];
      if (entry.type == EntryType::hard_link) {
        entry.linked_entry = kept_as_[entry.linked_entry];
        if (entry.linked_entry == kNotKept) return malformed("a kept link to what is not kept");
      }
      kept_as_[cursor_] = static_cast<std::uint32_t>(target.entries.size());
      target.entries.push_back(std::move(entry));
      sources.push_back({SourceKind::base_content, static_cast<std::uint32_t>(cursor_)});
    }
  }
  return {};
}

template <class Coder>
void TreeCoder<Coder>::code_text(std::string& text, SymbolKind kind) {
  std::uint64_t size =
      symbols_.number(text.size(), SymbolKind::attribute_count, static_cast<std::uint32_t>(kind));
  if (size > kMaxAttributeBytes) size = 0;
  if constexpr (!Coder::kEncodes) text.assign(static_cast<std::size_t>(size), '\0');
  std::uint32_t before = 0;
  for (char& c : text) {
    c = static_cast<char>(
        symbols_.byte(static_cast<std::uint8_t>(c), kind, before & 0xff, before & 0xffffff));
    before = before << 8 | static_cast<std::uint8_t>(c);
  }
}

template <class Coder>
void TreeCoder<Coder>::code_path(std::string& path, const std::string& previous) {
  std::uint64_t shared = 0;
  if constexpr (Coder::kEncodes) {
    shared = static_cast<std::uint64_t>(
        std::mismatch(path.begin(), path.end(), previous.begin(), previous.end()).first -
        path.begin());
  }
  const auto slash = previous.rfind('/');
  const std::uint64_t folder = slash == std::string::npos ? 0 : slash + 1;
  shared = folder + static_cast<std::uint64_t>(unzigzag(
                        symbols_.number(distance(shared, folder), SymbolKind::path_shared)));
  shared = std::min<std::uint64_t>(shared, previous.size());
  std::string suffix;
  if constexpr (Coder::kEncodes) suffix = path.substr(static_cast<std::size_t>(shared));
  std::uint32_t before = 0;
  for (std::size_t i = 0; i <= kMaxPathBytes; ++i) {
    const std::uint8_t byte =
        i < suffix.size() ? static_cast<std::uint8_t>(suffix[i]) : std::uint8_t{0};
    const std::uint8_t coded =
        symbols_.byte(byte, SymbolKind::path_byte, before & 0xffff, before & 0xffffff);
    if (coded == 0) break;
    if constexpr (!Coder::kEncodes) suffix += static_cast<char>(coded);
    before = before << 8 | coded;
  }
  if constexpr (!Coder::kEncodes) {
    path = previous.substr(0, static_cast<std::size_t>(shared)) + suffix;
  }
}

template <class Coder>
Result<void> TreeCoder<Coder>::code_attributes(Entry& entry, const Entry& like) {
  if (symbols_.flag(entry.attributes == like.attributes, SymbolKind::attribute_count, 1)) {
    entry.attributes = like.attributes;
    return {};
  }
  const std::uint64_t count = symbols_.number(entry.attributes.size(), SymbolKind::attribute_count);
  if (count > kMaxAttributes) return malformed("too many attributes");
  entry.attributes.resize(static_cast<std::size_t>(count));
  for (ExtendedAttribute& attribute : entry.attributes) {
    code_text(attribute.name, SymbolKind::text_byte);
    code_text(attribute.value, SymbolKind::text_byte);
    if (!symbols_.coder().ok()) return malformed("it is cut off");
  }
  return {};
}

template <class Coder>
Result<void> TreeCoder<Coder>::code_holes(Entry& entry, const Entry& like) {
  if (symbols_.flag(entry.holes == like.holes, SymbolKind::hole_count, 1)) {
    entry.holes = like.holes;
    return {};
  }
  const std::uint64_t count = symbols_.number(entry.holes.size(), SymbolKind::hole_count);
  if (count > kMaxHoles) return malformed("too many holes");
  entry.holes.resize(static_cast<std::size_t>(count));
  std::uint64_t end = 0;
  for (Hole& hole : entry.holes) {
    hole.offset_bytes = end + symbols_.number(hole.offset_bytes - end, SymbolKind::hole_number, 0);
    hole.size_bytes = symbols_.number(hole.size_bytes, SymbolKind::hole_number, 1);
    end = hole.offset_bytes + hole.size_bytes;
    if (!symbols_.coder().ok()) return malformed("it is cut off");
  }
  return {};
}

template <class Coder>
Result<void> TreeCoder<Coder>::code_content(Entry& entry, std::size_t index, bool is_modified,
                                            ContentSource& source, const Manifest& target) {
  source.kind = static_cast<SourceKind>(symbols_.small(static_cast<std::uint32_t>(source.kind), 2,
                                                       SymbolKind::entry_source, is_modified));
  if (source.kind == SourceKind::target_content) {
    const std::uint64_t back = symbols_.number(index - source.entry, SymbolKind::entry_source, 2);
    if (back == 0 || back > index) return malformed("content of a later entry");
    source.entry = static_cast<std::uint32_t>(index - back);
    const Entry& same = target.entries[source.entry];
    if (same.type != EntryType::regular) return malformed("content of what has none");
    entry.size_bytes = same.size_bytes;
    return {};
  }
  const Entry none;
  const Entry* from = &none;
  if (source.kind != SourceKind::fresh) {
    const std::uint64_t expected = is_modified ? cursor_ : std::uint64_t{last_source_} + 1;
    const std::uint64_t found =
        expected +
        static_cast<std::uint64_t>(unzigzag(symbols_.number(
            distance(source.entry, expected), SymbolKind::entry_source, 3, is_modified)));
    if (found >= base_.entries.size() || base_.entries[found].type != EntryType::regular) {
      return malformed("content of what is no file of the base");
    }
    source.entry = last_source_ = static_cast<std::uint32_t>(found);
    from = &base_.entries[found];
  }
  if (source.kind == SourceKind::base_content) {
    entry.size_bytes = from->size_bytes;
    entry.content = from->content;
  } else {
    entry.size_bytes =
        from->size_bytes +
        static_cast<std::uint64_t>(unzigzag(symbols_.number(
            distance(entry.size_bytes, from->size_bytes), SymbolKind::entry_size, is_modified)));
    if (entry.size_bytes > kMaxFileBytes) return malformed("a file is too large");
  }
  return code_holes(entry, *from);
}

template <class Coder>
Result<void> TreeCoder<Coder>::code_entry(Entry& entry, std::size_t index, bool is_modified,
                                          ContentSource& source, const Manifest& target) {
  const Entry root;
  const Entry& previous = index > 0 ? target.entries[index - 1] : root;
  const Entry& like = is_modified ? base_.entries[cursor_] : previous;
  if (is_modified) {
    entry.path = like.path;
  } else {
    code_path(entry.path, previous.path);
  }
  entry.type = static_cast<EntryType>(
      symbols_.small(static_cast<std::uint32_t>(entry.type), 2, SymbolKind::entry_type,
                     static_cast<std::uint32_t>(like.type), is_modified));
  if (entry.type == EntryType::hard_link) {
    const std::uint64_t back = symbols_.number(index - entry.linked_entry, SymbolKind::link_number);
    if (back > index) return malformed("a link to a later entry");
    entry.linked_entry = static_cast<std::uint32_t>(index - back);
    return {};
  }
  entry.mode =
      static_cast<std::uint16_t>(symbols_.number(entry.mode ^ like.mode, SymbolKind::entry_mode,
                                                 static_cast<std::uint32_t>(entry.type)) ^
                                 like.mode);
  SEGUE_TRY(code_attributes(entry, like));
  if (entry.type == EntryType::symlink) code_text(entry.link_target, SymbolKind::text_byte);
  if (entry.type == EntryType::regular) {
    SEGUE_TRY(code_content(entry, index, is_modified, source, target));
  }
  return {};
}

template <class Coder>
Result<typename TreeCoder<Coder>::Action> TreeCoder<Coder>::code_action(const Manifest& target,
                                                                        std::size_t index) {
  auto action = Action::end;
  if constexpr (Coder::kEncodes) {
    if (index < target.entries.size()) {
      const int order = cursor_ < base_.entries.size()
                            ? compare_paths(base_.entries[cursor_].path, target.entries[index].path)
                            : 1;
      action = order < 0 ? Action::skip : order == 0 ? Action::modified : Action::added;
    }
  }
  action = static_cast<Action>(
      symbols_.small(static_cast<std::uint32_t>(action), 2, SymbolKind::entry_action));
  if (action == Action::skip || action == Action::modified) {
    if (cursor_ >= base_.entries.size()) return malformed("more entries than the base has");
  }
  return action;
}

template <class Coder>
Result<void> TreeCoder<Coder>::code(Manifest& target, std::vector<ContentSource>& sources) {
  kept_as_.assign(base_.entries.size(), kNotKept);
  std::size_t index = 0;
  while (true) {
    std::uint64_t kept = 0;
    if constexpr (Coder::kEncodes) kept = kept_run(target, index, sources);
    kept = symbols_.number(kept, SymbolKind::entry_run);
    if constexpr (Coder::kEncodes) {
      for (std::uint64_t i = 0; i < kept; ++i) {
        kept_as_[cursor_ + i] = static_cast<std::uint32_t>(index + i);
      }
    }
    SEGUE_TRY(keep(kept, target, sources));
    index += kept;
    SEGUE_ASSIGN(const Action action, code_action(target, index));
    if (!symbols_.coder().ok()) return malformed("it is cut off");
    if (action == Action::end) return {};
    if (action == Action::skip) {
      ++cursor_;
      continue;
    }
    if constexpr (!Coder::kEncodes) {
      if (index >= kMaxEntries) return malformed("too many entries");
      target.entries.emplace_back();
      sources.emplace_back();
    }
    const bool is_modified = action == Action::modified;
    SEGUE_TRY(code_entry(target.entries[index], index, is_modified, sources[index], target));
    if (!symbols_.coder().ok()) return malformed("it is cut off");
    if (is_modified) kept_as_[cursor_++] = static_cast<std::uint32_t>(index);
    ++index;
  }
}

template class TreeCoder<RangeEncoder>;
template class TreeCoder<RangeDecoder>;

}  // namespace segue::delta
