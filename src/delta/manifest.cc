// SPDX-License-Identifier: Apache-2.0
#include "delta/manifest.h"

#include <algorithm>
#include <numeric>

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// For messages: what is not printable ASCII as \xNN.
std::string printable(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

template <class... Args>
auto refuse(const Entry& entry, fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "entry '{}': {}", printable(entry.path),
              fmt::format(format, std::forward<Args>(args)...));
}

Result<void> check_path(const Entry& entry) {
  const std::string_view path = entry.path;
  if (path.size() > kMaxPathBytes) return refuse(entry, "the path has more than 4095 bytes");
  if (path.find('\0') != std::string_view::npos) return refuse(entry, "the path contains NUL");
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty()) return refuse(entry, "the path is absolute or has an empty name");
    if (name == "." || name == "..") return refuse(entry, "the path contains '.' or '..'");
    if (name.size() > kMaxNameBytes) return refuse(entry, "a name has more than 255 bytes");
    begin = end + 1;
  }
  return {};
}

Result<void> check_attributes(const Entry& entry) {
  if (entry.attributes.size() > kMaxAttributes) return refuse(entry, "more than 64 attributes");
  const std::string* previous = nullptr;
  for (const ExtendedAttribute& attribute : entry.attributes) {
    if (attribute.name.empty() || attribute.name.size() > kMaxNameBytes ||
        attribute.name.find('\0') != std::string::npos) {
      return refuse(entry, "an attribute's name is empty, too long, or contains NUL");
    }
    if (attribute.name.size() + attribute.value.size() > kMaxAttributeBytes) {
      return refuse(entry, "an attribute has more than 65536 bytes");
    }
    if (previous != nullptr && *previous >= attribute.name) {
      return refuse(entry, "attributes are not in order of their names");
    }
    previous = &attribute.name;
  }
  return {};
}

Result<void> check_regular(const Entry& entry) {
  if (entry.size_bytes > kMaxFileBytes) return refuse(entry, "larger than 64 TiB");
  if (entry.holes.size() > kMaxHoles) return refuse(entry, "more than 65536 holes");
  std::uint64_t end = 0;
  bool first = true;
  for (const Hole& hole : entry.holes) {
    // Two that touch are one.
    if (hole.size_bytes == 0 || (!first && hole.offset_bytes <= end) ||
        hole.offset_bytes > entry.size_bytes ||
        hole.size_bytes > entry.size_bytes - hole.offset_bytes) {
      return refuse(entry, "holes are empty, touch, are out of order, or exceed the file");
    }
    end = hole.offset_bytes + hole.size_bytes;
    first = false;
  }
  return {};
}

Result<void> check_type(const Manifest& manifest, std::size_t index) {
  const Entry& entry = manifest.entries[index];
  const bool has_content = entry.size_bytes != 0 || entry.content != Digest{};
  if (entry.type != EntryType::regular && (has_content || !entry.holes.empty())) {
    return refuse(entry, "content belongs to regular files only");
  }
  if (entry.type != EntryType::symlink && !entry.link_target.empty()) {
    return refuse(entry, "a link target belongs to symlinks only");
  }
  if (entry.type != EntryType::hard_link && entry.linked_entry != 0) {
    return refuse(entry, "a linked entry belongs to hard links only");
  }
  switch (entry.type) {
    case EntryType::regular:
      return check_regular(entry);
    case EntryType::directory:
      return {};
    case EntryType::symlink:
      if (entry.link_target.empty() || entry.link_target.size() > kMaxPathBytes ||
          entry.link_target.find('\0') != std::string::npos) {
        return refuse(entry, "the link target is empty, too long, or contains NUL");
      }
      return {};
    case EntryType::hard_link:
      if (entry.linked_entry >= index ||
          manifest.entries[entry.linked_entry].type != EntryType::regular) {
        return refuse(entry, "a hard link has to name a regular file before it");
      }
      if (entry.mode != 0 || !entry.attributes.empty()) {
        return refuse(entry, "mode and attributes of a hard link are those of its file");
      }
      return {};
  }
  return refuse(entry, "unknown type");
}

bool is_below(std::string_view path, std::string_view directory) {
  return directory.empty() || (path.size() > directory.size() && path.starts_with(directory) &&
                               path[directory.size()] == '/');
}

// What gives content must come before its links: the first of a group becomes the file.
void settle_links(std::vector<Entry>& entries, std::vector<std::uint32_t>& linked) {
  std::vector<std::uint32_t> head(entries.size());
  std::iota(head.begin(), head.end(), 0U);
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    if (entries[i].type != EntryType::hard_link) continue;
    const std::uint32_t file = linked[i];
    if (i < file && head[file] == file) {
      entries[i].type = EntryType::regular;
      entries[i].linked_entry = 0;
      entries[i].mode = entries[file].mode;
      entries[i].size_bytes = entries[file].size_bytes;
      entries[i].content = entries[file].content;
      entries[i].attributes = std::move(entries[file].attributes);
      entries[i].holes = std::move(entries[file].holes);
      Entry link;
      link.path = std::move(entries[file].path);
      link.type = EntryType::hard_link;
      link.linked_entry = i;
      entries[file] = std::move(link);
      head[file] = i;
      linked[file] = i;
    } else {
      entries[i].linked_entry = head[file];
    }
  }
}

constexpr int kMaxLinks = 40;  // as Linux

// In front of those that are there. False: the path leads out of the tree.
bool add_names(std::string_view path, std::vector<std::string>& names) {
  if (path.starts_with('/')) return false;
  while (!path.empty()) {
    const auto slash = path.rfind('/');
    names.emplace_back(path.substr(slash == std::string_view::npos ? 0 : slash + 1));
    path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
  return true;
}

}  // namespace

int compare_paths(std::string_view left, std::string_view right) {
  const auto [l, r] = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  if (l == left.end() || r == right.end()) {
    return static_cast<int>(l != left.end()) - static_cast<int>(r != right.end());
  }
  const int left_byte = *l == '/' ? 0 : static_cast<unsigned char>(*l) + 1;
  const int right_byte = *r == '/' ? 0 : static_cast<unsigned char>(*r) + 1;
  return left_byte - right_byte;
}

Result<Manifest> make_manifest(std::vector<Entry> entries) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t left, std::uint32_t right) {
    return compare_paths(entries[left].path, entries[right].path) < 0;
  });
  std::vector<std::uint32_t> place(entries.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;

  Manifest manifest;
  manifest.entries.reserve(entries.size());
  std::vector<std::uint32_t> linked(entries.size());
  for (const std::uint32_t from : order) {
    Entry& entry = entries[from];
    if (entry.type == EntryType::hard_link) {
      if (entry.linked_entry >= place.size() ||
          entries[entry.linked_entry].type == EntryType::hard_link) {
        return refuse(entry, "a hard link has to name a regular file");
      }
      linked[manifest.entries.size()] = place[entry.linked_entry];
    }
    manifest.entries.push_back(std::move(entry));  // its type stays readable for its links
  }
  settle_links(manifest.entries, linked);
  SEGUE_TRY(check(manifest));
  return manifest;
}

Result<void> check(const Manifest& manifest) {
  const auto& entries = manifest.entries;
  if (entries.empty() || !entries[0].path.empty() || entries[0].type != EntryType::directory) {
    return fail(ErrorCode::invalid_argument, "the first entry is not the root directory");
  }
  if (entries.size() > kMaxEntries) {
    return fail(ErrorCode::invalid_argument, "a tree has {} entries, at most {} are allowed",
                entries.size(), kMaxEntries);
  }
  std::vector<std::size_t> parents;  // directories that contain the current place, root first
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (i > 0) {
      SEGUE_TRY(check_path(entry));
      if (compare_paths(entries[i - 1].path, entry.path) >= 0) {
        return refuse(entry, "a duplicate, or not in order");
      }
      while (!is_below(entry.path, entries[parents.back()].path)) parents.pop_back();
      const std::size_t depth = entries[parents.back()].path.size();
      if (entry.path.find('/', depth == 0 ? 0 : depth + 1) != std::string::npos) {
        return refuse(entry, "what it is in is missing, or is not a directory");
      }
    }
    if (entry.type == EntryType::directory) parents.push_back(i);
    if (entry.mode > 07777) return refuse(entry, "mode {:o} has more than 07777", entry.mode);
    SEGUE_TRY(check_attributes(entry));
    SEGUE_TRY(check_type(manifest, i));
  }
  return {};
}

std::optional<std::size_t> find_entry(const Manifest& manifest, std::string_view path) {
  const auto found = std::lower_bound(manifest.entries.begin(), manifest.entries.end(), path,
                                      [](const Entry& entry, std::string_view wanted) {
                                        return compare_paths(entry.path, wanted) < 0;
                                      });
  if (found == manifest.entries.end() || found->path != path) return std::nullopt;
  return static_cast<std::size_t>(found - manifest.entries.begin());
}

const Entry* file_at(const Manifest& manifest, std::string_view path) {
  std::vector<std::string> names;  // still to be gone along, the next one last
  std::string at;                  // where that has led so far: a directory
  if (!add_names(path, names)) return nullptr;
  for (int links = 0; !names.empty();) {
    const std::string name = std::move(names.back());
    names.pop_back();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (at.empty()) return nullptr;
      const auto slash = at.rfind('/');
      at.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    std::string next = at;
    if (!next.empty()) next += '/';
    next += name;
    const auto found = find_entry(manifest, next);
    if (!found) return nullptr;
    const Entry& entry = manifest.entries[*found];
    switch (entry.type) {
      case EntryType::directory:
        at = next;
        break;
      case EntryType::symlink:
        if (++links > kMaxLinks || !add_names(entry.link_target, names)) return nullptr;
        break;
      case EntryType::regular:
        return names.empty() ? &entry : nullptr;
      case EntryType::hard_link:
        return names.empty() ? &manifest.entries[entry.linked_entry] : nullptr;
    }
  }
  return nullptr;
}

}  // namespace segue::delta
