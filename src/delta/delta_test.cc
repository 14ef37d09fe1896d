// SPDX-License-Identifier: Apache-2.0
#include "delta/delta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "delta/memory_tree.h"

namespace segue::delta {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

constexpr ApplyLimits kLimits{.max_target_bytes = std::uint64_t{1} << 30};

Bytes made(MemoryTree& base, MemoryTree& target) {
  auto delta = make_delta(base.manifest(), base, target.manifest(), target);
  EXPECT_TRUE(delta) << delta.error().to_string();
  return delta.value_or(Bytes());
}

base::Result<Manifest> applied(const Bytes& delta, MemoryTree& base, const Digest& root,
                               MemoryWriter& writer, const ApplyLimits& limits = kLimits) {
  return apply_delta(delta, base.manifest(), base, root, limits, writer);
}

// Makes and applies; the size of the delta.
std::size_t expect_rebuilt(MemoryTree base, MemoryTree target) {
  const Bytes delta = made(base, target);
  MemoryWriter writer(base);
  const auto result = applied(delta, base, root_of(target.manifest()), writer);
  EXPECT_TRUE(result) << result.error().to_string();
  if (result) {
    EXPECT_EQ(*result, target.manifest());
  }
  EXPECT_TRUE(writer.contents == target.contents());
  return delta.size();
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::size_t below(std::size_t bound) { return engine_() % bound; }
  Bytes text(std::size_t size_bytes) {
    static constexpr std::string_view kWords[] = {"take ", "over ", "the ", "listener\n",  "segue ",
                                                  "0123 ", "{",     "}\n",  "connection ", "a"};
    Bytes bytes;
    while (bytes.size() < size_bytes) {
      const std::string_view word = kWords[below(std::size(kWords))];
      bytes.insert(bytes.end(), word.begin(), word.end());
    }
    return bytes;
  }
  Bytes noise(std::size_t size_bytes) {
    Bytes bytes(size_bytes);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(engine_());
    return bytes;
  }

 private:
  std::mt19937 engine_;
};

std::map<std::string, Bytes> some_files(Random& generator) {
  std::map<std::string, Bytes> files;
  files["README"] = generator.text(3000);
  files["bin/tool"] = generator.noise(20000);
  files["lib/a.js"] = generator.text(40000);
  files["lib/b.js"] = generator.text(500);
  files["lib/deep/er/c"] = generator.noise(100);
  files["empty"] = {};
  return files;
}

TEST(Delta, of_the_same_tree_is_little_more_than_its_header) {
  Random generator(1);
  const MemoryTree tree = MemoryTree::of_files(some_files(generator));
  EXPECT_LE(expect_rebuilt(tree, tree), DeltaHeader::kMinBytes + 4);
}

TEST(Delta, a_small_change_costs_little) {
  Random generator(2);
  auto files = some_files(generator);
  const MemoryTree base = MemoryTree::of_files(files);
  files["lib/a.js"][20000] ^= 1;
  EXPECT_LE(expect_rebuilt(base, MemoryTree::of_files(files)), DeltaHeader::kMinBytes + 16);
}

TEST(Delta, a_renamed_and_changed_file_is_paired_by_its_content) {
  Random generator(3);
  auto files = some_files(generator);
  const MemoryTree base = MemoryTree::of_files(files);
  Bytes tool = files["bin/tool"];
  tool.insert(tool.begin() + 5000, {1, 2, 3, 4});
  files.erase("bin/tool");
  files["opt/tool.2"] = tool;
  EXPECT_LE(expect_rebuilt(base, MemoryTree::of_files(files)), DeltaHeader::kMinBytes + 64);
}

TEST(Delta, a_renamed_folder_costs_its_new_paths_only) {
  Random generator(4);
  auto files = some_files(generator);
  const MemoryTree base = MemoryTree::of_files(files);
  std::map<std::string, Bytes> renamed;
  for (const auto& [path, content] : files) {
    renamed[path.starts_with("lib/") ? "library/" + path.substr(4) : path] = content;
  }
  EXPECT_LE(expect_rebuilt(base, MemoryTree::of_files(renamed)), DeltaHeader::kMinBytes + 64);
}

TEST(Delta, the_same_new_content_twice_is_sent_once) {
  Random generator(5);
  auto files = some_files(generator);
  const MemoryTree base = MemoryTree::of_files(files);
  files["new/1"] = files["new/2"] = generator.noise(9000);
  EXPECT_LE(expect_rebuilt(base, MemoryTree::of_files(files)), 9000 + 9000 / 20 + 120);
}

TEST(Delta, from_and_to_an_empty_tree) {
  Random generator(6);
  const MemoryTree empty = MemoryTree::of_files({});
  const MemoryTree full = MemoryTree::of_files(some_files(generator));
  expect_rebuilt(empty, full);
  expect_rebuilt(full, empty);
  expect_rebuilt(empty, empty);
}

TEST(Delta, much_that_is_new_goes_through_the_bulk_section) {
  Random generator(7);
  auto files = some_files(generator);
  const MemoryTree base = MemoryTree::of_files(files);
  files["big"] = generator.text(3 << 20);
  files["lib/a.js"].push_back('x');
  EXPECT_LT(expect_rebuilt(base, MemoryTree::of_files(files)), std::size_t{2} << 20);
}

TEST(Delta, text_that_moved_about_is_one_frame_with_its_base) {
  Random generator(10);
  auto files = some_files(generator);
  std::vector<Bytes> lines;
  for (int i = 0; i < 20000; ++i) lines.push_back(generator.noise(12));
  const auto join = [&](std::size_t step) {
    Bytes all;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Bytes& line = lines[i * step % lines.size()];
      all.insert(all.end(), line.begin(), line.end());
    }
    return all;
  };
  files["one"] = files["two"] = join(1);
  files["two"].push_back('2');
  const MemoryTree base = MemoryTree::of_files(files);
  files["one"] = files["two"] = join(7919);
  files["two"].insert(files["two"].begin() + 100, 'x');
  // The second has the first in its prefix, so that it costs next to nothing.
  EXPECT_LT(expect_rebuilt(base, MemoryTree::of_files(files)), std::size_t{12} * 20000 * 3 / 4);
}

TEST(Delta, the_same_trees_give_the_same_bytes) {
  Random generator(8);
  auto files = some_files(generator);
  MemoryTree base = MemoryTree::of_files(files);
  files["lib/b.js"] = generator.text(700);
  MemoryTree target = MemoryTree::of_files(files);
  EXPECT_EQ(made(base, target), made(base, target));
}

class RefusedDelta : public testing::Test {
 protected:
  RefusedDelta() {
    Random generator(9);
    auto files = some_files(generator);
    base = std::make_unique<MemoryTree>(MemoryTree::of_files(files));
    files["lib/a.js"].insert(files["lib/a.js"].begin() + 777, {'n', 'e', 'w'});
    files["fresh"] = generator.text(5000);
    target = std::make_unique<MemoryTree>(MemoryTree::of_files(files));
    delta = made(*base, *target);
    root = root_of(target->manifest());
  }
  [[nodiscard]] base::Error refusal(const Bytes& bytes, const ApplyLimits& limits = kLimits) const {
    MemoryWriter writer(*base);
    const auto result = applied(bytes, *base, root, writer, limits);
    return result ? base::Error(ErrorCode::internal, "accepted") : result.error();
  }

  std::unique_ptr<MemoryTree> base;
  std::unique_ptr<MemoryTree> target;
  Bytes delta;
  Digest root;
};

TEST_F(RefusedDelta, for_another_base) {
  MemoryWriter writer(*target);
  const auto result = applied(delta, *target, root, writer);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(result.error().message(), HasSubstr("for base"));
}

TEST_F(RefusedDelta, for_another_target) {
  root.bytes[0] ^= 1;
  EXPECT_EQ(refusal(delta).code(), ErrorCode::failed_precondition);
}

TEST_F(RefusedDelta, cut_off_anywhere) {
  for (std::size_t size = 0; size < delta.size(); size += size < 200 ? 1 : 97) {
    const Bytes cut(delta.begin(), delta.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(refusal(cut).code(), ErrorCode::data_loss) << size;
  }
}

TEST_F(RefusedDelta, with_a_bit_flipped_anywhere) {
  for (std::size_t i = 0; i < delta.size(); i += i < 200 ? 1 : 53) {
    Bytes damaged = delta;
    damaged[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    EXPECT_NE(refusal(damaged).code(), ErrorCode::internal) << i;
  }
}

TEST_F(RefusedDelta, with_bytes_behind_its_end) {
  Bytes longer = delta;
  longer.push_back(0);
  EXPECT_EQ(refusal(longer).code(), ErrorCode::data_loss);
}

TEST_F(RefusedDelta, that_makes_more_than_was_announced) {
  EXPECT_EQ(refusal(delta, {.max_target_bytes = 1000}).code(), ErrorCode::resource_exhausted);
}

TEST_F(RefusedDelta, when_a_file_of_the_base_was_edited) {
  base->damage("lib/a.js")[3] ^= 1;
  const base::Error error = refusal(delta);
  EXPECT_EQ(error.code(), ErrorCode::data_loss);
  EXPECT_THAT(error.message(), HasSubstr("base"));
}

TEST_F(RefusedDelta, when_a_file_of_the_base_was_truncated) {
  base->damage("lib/a.js").resize(10);
  EXPECT_THAT(refusal(delta).message(), HasSubstr("lib/a.js"));
}

// A tree that changes at random, as a person or a build changes it.
class Editor {
 public:
  explicit Editor(unsigned seed) : random_(seed), files_(some_files(random_)) {}

  MemoryTree tree() {
    MemoryTree plain = MemoryTree::of_files(files_);
    std::vector<Entry> entries = plain.manifest().entries;
    for (Entry& entry : entries) {
      if (const auto mode = modes_.find(entry.path); mode != modes_.end())
        entry.mode = mode->second;
      if (entry.type == EntryType::regular && attributed_.contains(entry.path)) {
        entry.attributes = {{"user.note", attributed_[entry.path]}};
      }
    }
    for (const auto& [path, to] : links_) {
      entries.push_back(
          {.path = path, .type = EntryType::symlink, .mode = 0777, .link_target = to});
    }
    for (const auto& [path, to] : hard_links_) {
      for (std::uint32_t i = 0; i < entries.size(); ++i) {
        if (entries[i].path != to || entries[i].type != EntryType::regular) continue;
        entries.push_back({.path = path, .type = EntryType::hard_link, .linked_entry = i});
        break;
      }
    }
    return {std::move(entries), files_};
  }

  void edit() {
    const std::string path = any_file();
    Bytes& bytes = files_[path];
    switch (random_.below(12)) {
      case 0:
        return insert(bytes, random_.noise(random_.below(300)));
      case 1:
        return insert(bytes, random_.text(random_.below(3000)));
      case 2:
        return erase(bytes, random_.below(500));
      case 3:
        return move(bytes);
      case 4:
        if (files_.size() > 2) files_.erase(path);
        return;
      case 5: {
        const Bytes moved = bytes;
        files_.erase(path);
        files_["moved" + std::to_string(random_.below(1000)) + "/x"] = moved;
        return;
      }
      case 6:
        return std::swap(bytes, files_[any_file()]);
      case 7:
        return bytes.resize(random_.below(bytes.size() + 1));
      case 8:
        modes_[path] = static_cast<std::uint16_t>(random_.below(010000));
        return;
      case 9:
        links_["link" + std::to_string(random_.below(20))] = "../" + path;
        return;
      case 10:
        hard_links_["hard" + std::to_string(random_.below(20))] = path;
        return;
      default:
        attributed_[path] = std::to_string(random_.below(100));
    }
  }

 private:
  std::string any_file() {
    auto file = files_.begin();
    std::advance(file, random_.below(files_.size()));
    return file->first;
  }
  void insert(Bytes& bytes, const Bytes& what) {
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(random_.below(bytes.size() + 1)),
                 what.begin(), what.end());
  }
  void erase(Bytes& bytes, std::size_t size) {
    const std::size_t begin = random_.below(bytes.size() + 1);
    bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                bytes.begin() + static_cast<std::ptrdiff_t>(std::min(begin + size, bytes.size())));
  }
  void move(Bytes& bytes) {
    if (bytes.size() < 2) return;
    std::rotate(bytes.begin(),
                bytes.begin() + static_cast<std::ptrdiff_t>(random_.below(bytes.size())),
                bytes.end());
  }

  Random random_;
  std::map<std::string, Bytes> files_;
  std::map<std::string, std::uint16_t> modes_;
  std::map<std::string, std::string> links_;
  std::map<std::string, std::string> hard_links_;
  std::map<std::string, std::string> attributed_;
};

class RandomEdits : public testing::TestWithParam<unsigned> {};

TEST_P(RandomEdits, are_rebuilt_exactly) {
  Editor editor(GetParam());
  MemoryTree base = editor.tree();
  for (int step = 0; step < 4; ++step) {
    for (unsigned i = 0; i < 1 + GetParam() % 9; ++i) editor.edit();
    MemoryTree target = editor.tree();
    expect_rebuilt(base, target);
    base = std::move(target);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomEdits, testing::Range(0U, 40U));

}  // namespace
}  // namespace segue::delta
