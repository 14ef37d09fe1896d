// SPDX-License-Identifier: Apache-2.0
// A library in a directory of its own, with keys, for tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>

#include "delta/memory_tree.h"
#include "library/library.h"
#include "library/publisher.h"
#include "os/temp_directory.h"
#include "tuf/envelope.h"

namespace segue::library {

inline crypto::PrivateKey test_key(unsigned number) {
  std::string seed(32, '\0');
  seed[0] = static_cast<char>(number);
  return *crypto::PrivateKey::ed25519_from_seed(seed);
}

// Text of words, so that it compresses; the same numbers give the same text.
inline delta::Bytes test_text(unsigned seed, std::size_t lines) {
  std::mt19937 generator(seed);
  std::string text;
  for (std::size_t i = 0; i < lines; ++i) {
    text += fmt::format("{} {:08x} line {}\n", seed, generator(), i);
  }
  return delta::bytes_of(text);
}

class MemorySource final : public FileSource {
 public:
  explicit MemorySource(delta::MemoryTree& tree) : tree_(tree) {}
  base::Result<void> read(std::size_t entry, const Piece& piece) override {
    SEGUE_ASSIGN(const auto file, tree_.open(entry));
    return piece(file->bytes());
  }

 private:
  delta::MemoryTree& tree_;
};

using TestFiles = std::map<std::string, delta::Bytes>;

// Release n of a small application: most of it stays, one file changes, one comes, one is renamed.
inline TestFiles test_release(unsigned number) {
  TestFiles files;
  for (unsigned i = 0; i < 8; ++i) files[fmt::format("lib/{}", i)] = test_text(i, 700);
  files["bin/run"] = test_text(100, 6'000);
  const std::string changed = fmt::format("release {}", number);
  std::copy(changed.begin(), changed.end(), files["bin/run"].begin() + 50'000);
  files[fmt::format("notes/{}", number)] = test_text(200 + number, 40);
  files[fmt::format("share/renamed-{}", number)] = test_text(300, 400);
  files["empty"] = {};
  return files;
}

class TestLibrary {
 public:
  TestLibrary() {
    clock.advance(std::chrono::days(20'000));
    const auto key = [](unsigned number) {
      return std::vector{tuf::Key::of(test_key(number).public_key())};
    };
    const auto root = tuf::make_root({{"root", key(0), {}, {}},
                                      {"targets", key(1), {}, {}},
                                      {"snapshot", key(2), {}, {}},
                                      {"timestamp", key(3), {}, {}}},
                                     tuf::Time(std::chrono::days(30'000)));
    root_bytes = *tuf::sign_metadata(*root, {test_key(0)});
    signers = {
        {"targets", {test_key(1)}}, {"snapshot", {test_key(2)}}, {"timestamp", {test_key(3)}}};
  }

  [[nodiscard]] std::string path() const { return directory.path(name); }

  base::Result<Publisher> open(Disk::Watch watch = {}) {
    Publisher::Settings settings;
    settings.directory = path();
    settings.root_bytes = root_bytes;
    settings.signers = signers;
    settings.max_wait = max_wait;
    settings.threads = 2;
    settings.watch = std::move(watch);
    return Publisher::open(std::move(settings), clock);
  }

  base::Result<PublishReport> publish(const std::string& version, const TestFiles& files,
                                      Disk::Watch watch = {}, bool deltas_later = false) {
    SEGUE_ASSIGN(Publisher publisher, open(std::move(watch)));
    clock.advance(std::chrono::seconds(10));
    delta::MemoryTree tree = delta::MemoryTree::of_files(files);
    MemorySource source(tree);
    PublishRequest request;
    request.component = "chat";
    request.version = version;
    request.commit = commit;
    request.deltas_later = deltas_later;
    return publisher.publish(request, tree.manifest(), source);
  }

  // Of the component; fails the test when the library cannot be read.
  [[nodiscard]] std::vector<std::string> versions() const {
    std::vector<std::string> names;
    const auto library = Library::open(path());
    EXPECT_TRUE(library) << library.error().to_string();
    if (!library) return names;
    const auto components = library->components();
    const auto found = components.find("chat");
    if (found == components.end()) return names;
    EXPECT_TRUE(found->second.refused.empty());
    for (const auto& release : found->second.releases) names.push_back(release.version);
    return names;
  }

  // In memory where there is such a place: what is synced hundreds of times waits for no disk.
  os::TempDirectory directory{std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp"};
  std::string name = "library";
  std::string commit;
  base::Duration max_wait = std::chrono::seconds(0);
  os::ManualClock clock;
  std::string root_bytes;
  tuf::Signers signers;
};

// The release as a host gets it that has nothing, from its chunks; fails the test if it cannot.
TestFiles unpacked(const std::string& library, const std::string& version);
// And as one gets it that has another release, by the delta between.
TestFiles patched(const std::string& library, const std::string& from, const std::string& version);
// That everything is there that metadata names, and undamaged.
void expect_whole(const std::string& library);
// … and every delta makes what it says.
void expect_sound(const std::string& library);

}  // namespace segue::library
