// SPDX-License-Identifier: Apache-2.0
#include "tree/verify.h"

#include <algorithm>
#include <map>
#include <utility>

#include "tree/contents.h"
#include "tree/listing.h"

namespace segue::tree {
namespace {

using base::Result;
using delta::Entry;
using delta::EntryType;
using delta::Manifest;
using Kind = Difference::Kind;

constexpr std::size_t kMaxHeld = 1'000'000;

std::string_view name_of(EntryType type) {
  switch (type) {
    case EntryType::regular:
      return "a file";
    case EntryType::directory:
      return "a directory";
    case EntryType::symlink:
      return "a symlink";
    case EntryType::hard_link:
      return "a file";  // with another name
  }
  return "unknown";
}

class Verifier {
 public:
  Verifier(const Manifest& expected, const VerifyOptions& options)
      : expected_(expected), options_(options) {
    result_.stamps.resize(expected.entries.size());
  }

  Result<Verification> run(const std::string& directory, const Progress& progress) {
    SEGUE_ASSIGN(Beneath beneath, Beneath::open(directory));
    SEGUE_ASSIGN(found_, list(beneath));
    match();
    read_contents(beneath, found_,
                  {.threads = options_.threads,
                   .stop_at_error = false,
                   .wanted = [this](std::size_t i) { return has_to_be_read(i); }},
                  progress);
    for (std::size_t i = 0; i < expected_.entries.size(); ++i) compare(i);
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!expected_of_[i]) {
        add(Kind::unexpected, found_[i].entry.path,
            found_[i].is_special ? found_[i].error->message()
                                 : std::string(name_of(found_[i].entry.type)));
      }
    }
    std::ranges::stable_sort(result_.differences,
                             [](const Difference& left, const Difference& right) {
                               return delta::compare_paths(left.path, right.path) < 0;
                             });
    if (result_.differences.size() > options_.max_differences) {
      result_.differences.resize(options_.max_differences);
    }
    return std::move(result_);
  }

 private:
  void match() {
    expected_of_.resize(found_.size());
    has_expected_name_.resize(found_.size());
    is_read_.resize(found_.size());
    found_of_.resize(expected_.entries.size());
    for (std::size_t i = 0; i < found_.size(); ++i) {
      const auto entry = delta::find_entry(expected_, found_[i].entry.path);
      expected_of_[i] = entry;
      if (!entry) continue;
      const Entry& named = found_[i].entry;
      if (named.type == EntryType::hard_link) has_expected_name_[named.linked_entry] = true;
      found_of_[*entry] = i;
      result_.stamps[*entry] = found_[i].stamp;
    }
  }

  // What is known needs no reading. A file that is not expected may have names that are.
  bool has_to_be_read(std::size_t found) {
    const auto entry = expected_of_[found];
    const bool wanted = entry && content_entry(*entry).type == EntryType::regular;
    if (!wanted && !has_expected_name_[found]) return false;
    if (wanted && is_known(*entry, found)) return false;
    is_read_[found] = true;
    result_.bytes_read += found_[found].entry.size_bytes;
    return true;
  }

  [[nodiscard]] bool is_known(std::size_t entry, std::size_t found) const {
    return options_.known != nullptr && entry < options_.known->size() &&
           expected_.entries[entry].type == EntryType::regular &&
           (*options_.known)[entry] == found_[found].stamp;
  }

  [[nodiscard]] const Entry& content_entry(std::size_t entry) const {
    const Entry& named = expected_.entries[entry];
    return named.type == EntryType::hard_link ? expected_.entries[named.linked_entry] : named;
  }

  void compare(std::size_t index) {
    const Entry& wanted = content_entry(index);
    const std::string& path = expected_.entries[index].path;
    if (!found_of_[index]) return add(Kind::missing, path, std::string(name_of(wanted.type)));
    const Found& named = found_[*found_of_[index]];
    if (named.is_special) return add(Kind::type, path, named.error->message());
    const std::size_t file =
        named.entry.type == EntryType::hard_link ? named.entry.linked_entry : *found_of_[index];
    const Found& found = found_[file];
    if (found.entry.type != wanted.type) {
      return add(Kind::type, path,
                 fmt::format("{} instead of {}", name_of(found.entry.type), name_of(wanted.type)));
    }
    if (found.entry.mode != wanted.mode && wanted.type != EntryType::symlink) {
      add(Kind::mode, path, fmt::format("{:o} instead of {:o}", found.entry.mode, wanted.mode));
    }
    if (wanted.type == EntryType::symlink && found.entry.link_target != wanted.link_target) {
      add(Kind::link_target, path,
          fmt::format("to '{}' instead of '{}'", shown(found.entry.link_target),
                      shown(wanted.link_target)));
    }
    if (found.error) return add(Kind::unreadable, path, found.error->message());
    if (wanted.type == EntryType::regular) {
      compare_links(index, file);
      if (!is_read_[file]) return;
      compare_content(path, found.entry, wanted);
    }
    if (found.entry.attributes != wanted.attributes) {
      add(Kind::attributes, path,
          fmt::format("{} instead of {}", names_of(found.entry), names_of(wanted)));
    }
  }

  void compare_content(const std::string& path, const Entry& found, const Entry& wanted) {
    if (found.size_bytes != wanted.size_bytes) {
      add(Kind::content, path,
          fmt::format("{} bytes instead of {}", found.size_bytes, wanted.size_bytes));
    } else if (found.content != wanted.content) {
      add(Kind::content, path,
          fmt::format("{} instead of {}", found.content.hex(), wanted.content.hex()));
    }
  }

  // The names of one file have to be the names of one entry.
  void compare_links(std::size_t index, std::size_t file) {
    const Entry& named = expected_.entries[index];
    const std::size_t entry = named.type == EntryType::hard_link ? named.linked_entry : index;
    const std::string& path = named.path;
    const auto of_file = entry_of_file_.try_emplace(file, entry).first;
    if (of_file->second != entry) {
      return add(Kind::links, path,
                 fmt::format("another name of {}, and should be a file of its own",
                             shown(expected_.entries[of_file->second].path)));
    }
    const auto of_entry = file_of_entry_.try_emplace(entry, file).first;
    if (of_entry->second != file) {
      add(Kind::links, path,
          fmt::format("a file of its own, and should be another name of {}",
                      shown(expected_.entries[entry].path)));
    }
  }

  static std::string names_of(const Entry& entry) {
    if (entry.attributes.empty()) return "no attributes";
    std::string text;
    for (const auto& [name, value] : entry.attributes) {
      text += fmt::format("{}{} ({} bytes)", text.empty() ? "" : ", ", shown(name), value.size());
    }
    return text;
  }

  void add(Kind kind, const std::string& path, std::string detail) {
    ++result_.difference_count;
    if (kind == Kind::unexpected) ++result_.unexpected_count;
    // Those behind the bound are dropped only once the order is known.
    if (result_.differences.size() >= kMaxHeld) return;
    result_.differences.push_back({.kind = kind, .path = path, .detail = std::move(detail)});
  }

  const Manifest& expected_;
  const VerifyOptions& options_;
  std::vector<Found> found_;
  std::vector<std::optional<std::size_t>> expected_of_;  // by number in found_
  std::vector<std::optional<std::size_t>> found_of_;     // by entry
  std::vector<bool> has_expected_name_;                  // by number in found_
  std::vector<bool> is_read_;                            // …
  std::map<std::size_t, std::size_t> entry_of_file_;
  std::map<std::size_t, std::size_t> file_of_entry_;
  Verification result_;
};

}  // namespace

std::string_view to_string(Difference::Kind kind) {
  switch (kind) {
    case Kind::missing:
      return "missing";
    case Kind::unexpected:
      return "unexpected";
    case Kind::type:
      return "type";
    case Kind::mode:
      return "mode";
    case Kind::content:
      return "content";
    case Kind::link_target:
      return "link_target";
    case Kind::links:
      return "links";
    case Kind::attributes:
      return "attributes";
    case Kind::unreadable:
      return "unreadable";
  }
  return "unknown";
}

std::string Difference::to_string() const {
  return fmt::format("{}: {}: {}", path.empty() ? "." : shown(path), tree::to_string(kind), detail);
}

Result<Verification> verify_tree(const std::string& directory, const Manifest& manifest,
                                 const VerifyOptions& options, const Progress& progress) {
  return Verifier(manifest, options).run(directory, progress);
}

}  // namespace segue::tree
