// SPDX-License-Identifier: Apache-2.0
#include "library/test_library.h"

#include "library/stored_tree.h"

namespace segue::library {
namespace {

delta::MemoryTree tree_of(const Library& library, const Release& release) {
  const auto contents = library.contents_of(release);
  EXPECT_TRUE(contents) << contents.error().to_string();
  const auto stored = StoredTree::open(library.objects(), *contents, library.directory());
  EXPECT_TRUE(stored) << stored.error().to_string();
  std::map<std::string, delta::Bytes> files;
  for (std::size_t i = 0; i < contents->manifest.entries.size(); ++i) {
    const auto& entry = contents->manifest.entries[i];
    if (entry.type != delta::EntryType::regular) continue;
    const auto file = (*stored)->open(i);
    files[entry.path] = delta::Bytes((*file)->bytes().begin(), (*file)->bytes().end());
  }
  return {contents->manifest.entries, files};
}

Release release_in(const Library& library, const std::string& version) {
  const auto release = library.find("chat", version);
  EXPECT_TRUE(release) << release.error().to_string();
  return *release;
}

}  // namespace

TestFiles unpacked(const std::string& library, const std::string& version) {
  const auto opened = Library::open(library);
  EXPECT_TRUE(opened) << opened.error().to_string();
  return tree_of(*opened, release_in(*opened, version)).contents();
}

TestFiles patched(const std::string& library, const std::string& from, const std::string& version) {
  const auto opened = Library::open(library);
  EXPECT_TRUE(opened) << opened.error().to_string();
  const Release release = release_in(*opened, version);
  delta::MemoryTree base = tree_of(*opened, release_in(*opened, from));
  const auto components = opened->components();
  const ReleaseDelta* delta =
      delta_from(components.at("chat"), release, delta::root_of(base.manifest()));
  EXPECT_NE(delta, nullptr);
  if (delta == nullptr) return {};
  const auto bytes = opened->objects().read(delta->object);
  EXPECT_TRUE(bytes) << bytes.error().to_string();
  delta::MemoryWriter writer(base);
  const auto made = delta::apply_delta(*bytes, base.manifest(), base, release.root,
                                       {.max_target_bytes = release.bytes}, writer);
  EXPECT_TRUE(made) << made.error().to_string();
  return writer.contents;
}

void expect_whole(const std::string& library) {
  const auto opened = Library::open(library);
  ASSERT_TRUE(opened) << opened.error().to_string();
  for (const auto& [component, list] : opened->components()) {
    EXPECT_TRUE(list.refused.empty());
    for (const Release& release : list.releases) {
      const auto contents = opened->contents_of(release);
      ASSERT_TRUE(contents) << contents.error().to_string();
      for (const Chunk& chunk : contents->chunks) {
        EXPECT_TRUE(opened->objects().is_whole(chunk.object()));
      }
      for (const auto& delta : release.deltas) {
        EXPECT_TRUE(opened->objects().is_whole(delta.object));
      }
    }
  }
}

void expect_sound(const std::string& library) {
  const auto opened = Library::open(library);
  ASSERT_TRUE(opened) << opened.error().to_string();
  for (const auto& [component, list] : opened->components()) {
    EXPECT_TRUE(list.refused.empty());
    for (const Release& release : list.releases) {
      EXPECT_EQ(delta::root_of(tree_of(*opened, release).manifest()), release.root);
      for (const auto& delta : release.deltas) {
        EXPECT_EQ(patched(library, delta.from, release.version),
                  unpacked(library, release.version));
      }
    }
  }
}

}  // namespace segue::library
