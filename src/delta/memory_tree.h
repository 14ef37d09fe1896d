// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "delta/delta.h"

// Trees in memory, for tests.
namespace segue::delta {

class MemoryTree final : public TreeReader {
 public:
  // Entries in any order, hard links by number in `entries`; contents by path.
  MemoryTree(std::vector<Entry> entries, std::map<std::string, Bytes> contents)
      : contents_(std::move(contents)) {
    for (Entry& entry : entries) {
      if (entry.type != EntryType::regular) continue;
      const Bytes& content = contents_[entry.path];
      entry.size_bytes = content.size();
      entry.content = digest_of(content);
    }
    auto made = make_manifest(std::move(entries));
    if (!made) throw std::runtime_error(made.error().to_string());
    manifest_ = std::move(*made);
    // The first path of a group has the content, whichever it was given by.
    for (const Entry& entry : manifest_.entries) {
      const auto given = contents_.find(entry.path);
      if (entry.type != EntryType::hard_link || given == contents_.end()) continue;
      contents_[content_path(entry.linked_entry)] = std::move(given->second);
      contents_.erase(given);
    }
  }

  // Files alone; folders follow from their paths.
  static MemoryTree of_files(std::map<std::string, Bytes> files) {
    std::map<std::string, Entry> entries;
    entries[""] = {.type = EntryType::directory, .mode = 0755};
    for (const auto& [path, content] : files) {
      for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
        entries[path.substr(0, at)] = {
            .path = path.substr(0, at), .type = EntryType::directory, .mode = 0755};
      }
      entries[path] = {.path = path, .mode = 0644};
    }
    std::vector<Entry> list;
    for (auto& [path, entry] : entries) list.push_back(std::move(entry));
    return {std::move(list), std::move(files)};
  }

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const std::map<std::string, Bytes>& contents() const { return contents_; }
  // A file on disk that is not what the manifest says.
  Bytes& damage(const std::string& path) { return contents_.at(path); }

  base::Result<std::unique_ptr<FileBytes>> open(std::size_t entry) override {
    return std::make_unique<File>(contents_.at(content_path(entry)));
  }
  [[nodiscard]] const std::string& content_path(std::size_t entry) const {
    return manifest_.entries.at(entry).path;
  }

 private:
  class File final : public FileBytes {
   public:
    explicit File(const Bytes& bytes) : bytes_(bytes) {}
    [[nodiscard]] ByteView bytes() const override { return bytes_; }

   private:
    const Bytes& bytes_;
  };

  Manifest manifest_;
  std::map<std::string, Bytes> contents_;
};

// Keeps what a delta makes, and breaks where the contract of TreeWriter is broken.
class MemoryWriter final : public TreeWriter {
 public:
  explicit MemoryWriter(const MemoryTree& base) : base_(base) {}

  base::Result<void> begin(const Manifest& target) override {
    manifest_ = target;
    return check(target);
  }
  base::Result<void> reuse(std::size_t target_entry, std::size_t base_entry) override {
    contents[path(target_entry)] = base_.contents().at(base_.content_path(base_entry));
    return {};
  }
  base::Result<void> repeat(std::size_t target_entry, std::size_t earlier_entry) override {
    if (earlier_entry >= target_entry) return broken();
    contents[path(target_entry)] = contents.at(path(earlier_entry));
    return {};
  }
  base::Result<void> begin_file(std::size_t target_entry) override {
    open_ = target_entry;
    contents[path(target_entry)].clear();
    return {};
  }
  base::Result<void> write(ByteView bytes) override {
    Bytes& content = contents[path(open_)];
    content.insert(content.end(), bytes.begin(), bytes.end());
    if (content.size() > manifest_.entries.at(open_).size_bytes) return broken();
    return {};
  }
  base::Result<void> end_file(std::size_t target_entry, const Digest& content) override {
    const Bytes& bytes = contents[path(target_entry)];
    if (target_entry != open_ || digest_of(bytes) != content ||
        bytes.size() != manifest_.entries.at(open_).size_bytes) {
      return broken();
    }
    return {};
  }

  std::map<std::string, Bytes> contents;

 private:
  [[nodiscard]] const std::string& path(std::size_t entry) const {
    return manifest_.entries.at(entry).path;
  }
  static tl::unexpected<base::Error> broken() {
    return base::fail(base::ErrorCode::internal, "the contract of TreeWriter is broken");
  }

  const MemoryTree& base_;
  Manifest manifest_;
  std::size_t open_ = 0;
};

inline Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

}  // namespace segue::delta
