// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "library/image_format.h"
#include "library/image_tree.h"
#include "library/release_diff.h"
#include "library/scratch_file.h"
#include "library/test_library.h"

namespace segue::library {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using delta::Bytes;
using delta::ByteView;
using testing::HasSubstr;
using tuf::Json;

class TarBuilder {
 public:
  TarBuilder& file(const std::string& path, const Bytes& content) {
    const Bytes header = tar_header(path, content.size());
    append(header);
    append(content);
    bytes_.resize((bytes_.size() + kTarBlockBytes - 1) / kTarBlockBytes * kTarBlockBytes);
    return *this;
  }
  // Without content; `type` as in tar(5).
  TarBuilder& node(const std::string& path, char type) {
    Bytes header = tar_header(path, 0);
    header[156] = static_cast<std::uint8_t>(type);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < header.size(); ++i) sum += i >= 148 && i < 156 ? 32U : header[i];
    const std::string digits = fmt::format("{:06o}", sum);
    std::copy(digits.begin(), digits.end(), header.begin() + 148);
    append(header);
    return *this;
  }
  TarBuilder& raw(const Bytes& bytes) {
    append(bytes);
    return *this;
  }
  Bytes finish() {
    bytes_.resize(bytes_.size() + 2 * kTarBlockBytes);
    return bytes_;
  }

 private:
  void append(const Bytes& bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  Bytes bytes_;
};

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

Bytes layer_of(unsigned number) {
  return TarBuilder()
      .node("usr/", '5')
      .file("usr/app", test_release(number).at("bin/run"))
      .node("usr/link", '2')
      .file("etc/notes", test_text(number, 20))
      .file("./empty", {})
      .finish();
}

std::string id_of(const Bytes& bytes) {
  return delta::digest_of(bytes).hex();
}

Bytes config_of(const std::vector<Bytes>& layers) {
  Json ids = Json::array();
  for (const auto& layer : layers) ids.push_back("sha256:" + id_of(layer));
  return bytes_of(Json{{"architecture", "amd64"}, {"rootfs", {{"diff_ids", ids}}}}.dump());
}

// As `docker save` writes it.
Bytes docker_archive(const std::vector<Bytes>& layers) {
  TarBuilder tar;
  Json names = Json::array();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    names.push_back(fmt::format("{}/layer.tar", i));
    tar.file(names.back(), layers[i]);
  }
  const Bytes config = config_of(layers);
  const std::string name = id_of(config) + ".json";
  tar.file(name, config);
  tar.file(
      "manifest.json",
      bytes_of(
          Json::array({{{"Config", name}, {"RepoTags", {"app:1"}}, {"Layers", names}}}).dump()));
  return tar.finish();
}

// In the layout of the OCI image specification, version 1.
Bytes oci_archive(const std::vector<Bytes>& layers) {
  TarBuilder tar;
  Json descriptors = Json::array();
  const auto blob = [&](const Bytes& bytes) {
    tar.file("blobs/sha256/" + id_of(bytes), bytes);
    return Json{{"digest", "sha256:" + id_of(bytes)}, {"size", bytes.size()}};
  };
  for (const auto& layer : layers) descriptors.push_back(blob(layer));
  const Json config = blob(config_of(layers));
  const Json manifest = blob(
      bytes_of(Json{{"schemaVersion", 2}, {"config", config}, {"layers", descriptors}}.dump()));
  tar.file("oci-layout", bytes_of("{}"));
  tar.file("index.json", bytes_of(Json{{"manifests", Json::array({manifest})}}.dump()));
  return tar.finish();
}

class Image : public testing::Test {
 protected:
  std::string write(const std::string& name, const Bytes& bytes) const {
    const std::string path = library_.directory.path(name);
    std::ofstream(path, std::ios::binary) << delta::text_of(bytes);
    return path;
  }
  base::Result<std::unique_ptr<ImageSource>> open(const Bytes& archive) const {
    return ImageSource::open(write("archive.tar", archive), library_.directory.path());
  }
  base::Result<PublishReport> publish(const std::string& version, const Bytes& archive) {
    SEGUE_ASSIGN(const auto image, open(archive));
    SEGUE_ASSIGN(Publisher publisher, library_.open());
    PublishRequest request{.component = "chat", .version = version};
    request.kind = ReleaseKind::image;
    return publisher.publish(request, image->manifest(), *image);
  }
  // The tree of a release, as a host has it.
  std::string laid_out(const std::string& version) const {
    const std::string folder = library_.directory.path("tree-" + version);
    for (const auto& [path, content] : unpacked(library_.path(), version)) {
      fs::create_directories(fs::path(folder + "/" + path).parent_path());
      std::ofstream(folder + "/" + path, std::ios::binary) << delta::text_of(content);
    }
    return folder;
  }
  static base::Result<Bytes> written(const std::string& tree) {
    Bytes archive;
    SEGUE_TRY(write_image(tree, [&](ByteView bytes) -> base::Result<void> {
      archive.insert(archive.end(), bytes.begin(), bytes.end());
      return {};
    }));
    return archive;
  }
  // What the archive holds, by path.
  static std::map<std::string, Bytes> members(const Bytes& archive) {
    std::map<std::string, Bytes> members;
    const auto read = [&](std::uint64_t offset, std::size_t count) -> base::Result<Bytes> {
      const auto begin = archive.begin() + static_cast<std::ptrdiff_t>(offset);
      return Bytes(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
    const auto pieces = tar_layout(read, archive.size());
    for (const auto& piece : *pieces) {
      if (piece.is_content) members[piece.path] = *read(piece.offset_bytes, piece.size_bytes);
    }
    return members;
  }

  TestLibrary library_;
};

TEST_F(Image, comes_back_with_every_layer_and_its_id) {
  const std::vector<Bytes> layers = {layer_of(1), layer_of(2)};
  for (const bool oci : {false, true}) {
    const std::string version = oci ? "oci" : "docker";
    const auto report = publish(version, oci ? oci_archive(layers) : docker_archive(layers));
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->release.kind, ReleaseKind::image);
    const auto archive = written(laid_out(version));
    ASSERT_TRUE(archive) << archive.error().to_string();
    const auto files = members(*archive);
    const Json manifest = Json::parse(delta::text_of(files.at("manifest.json")));
    EXPECT_EQ(files.at(manifest[0]["Config"]), config_of(layers));
    EXPECT_EQ(manifest[0]["Config"], id_of(config_of(layers)) + ".json");
    ASSERT_EQ(manifest[0]["Layers"].size(), 2U);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      EXPECT_EQ(files.at(manifest[0]["Layers"][i]), layers[i]);
    }
    // What was written can be published again, as the same image.
    EXPECT_EQ((*open(*archive))->manifest().entries.size(),
              (*open(docker_archive(layers)))->manifest().entries.size());
  }
}

TEST_F(Image, is_stored_file_by_file_and_sent_as_a_delta) {
  ASSERT_TRUE(publish("1", docker_archive({layer_of(0), layer_of(1)})));
  const auto second = publish("2", docker_archive({layer_of(0), layer_of(2)}));
  ASSERT_TRUE(second) << second.error().to_string();
  ASSERT_EQ(second->release.deltas.size(), 1U);
  EXPECT_LT(second->release.deltas[0].object.length, 3'000U);
  const auto opened = Library::open(library_.path());
  const auto diff = diff_releases(*opened, *opened->find("chat", "1"), *opened->find("chat", "2"),
                                  library_.directory.path());
  ASSERT_TRUE(diff) << diff.error().to_string();
  std::set<std::string> changed;
  for (const auto& file : diff->files) changed.insert(file.path);
  EXPECT_TRUE(changed.contains("layers/001/files/usr/app"));
  EXPECT_FALSE(changed.contains("layers/000/files/usr/app"));
}

TEST_F(Image, may_be_a_root_file_system) {
  const Bytes archive = layer_of(1);
  ASSERT_TRUE(publish("1", archive));
  const auto back = written(laid_out("1"));
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(*back, archive);
}

TEST_F(Image, keeps_what_no_tree_could_hold) {
  const Bytes archive = TarBuilder()
                            .file("../outside", bytes_of("1"))
                            .file("/absolute", bytes_of("2"))
                            .file("twice", bytes_of("3"))
                            .file("twice", bytes_of("4"))
                            .file("twice/below", bytes_of("5"))
                            .file("a/../b", bytes_of("6"))
                            .node("dev/null", '3')
                            .file(".wh.gone", {})
                            .file("odd\xff\n", bytes_of("7"))
                            .finish();
  ASSERT_TRUE(publish("1", archive));
  EXPECT_EQ(*written(laid_out("1")), archive);
}

TEST_F(Image, keeps_bytes_that_are_no_archive_any_more) {
  Bytes archive = TarBuilder().file("a", bytes_of("first")).raw(test_text(5, 100)).finish();
  ASSERT_TRUE(publish("odd", archive));
  EXPECT_EQ(*written(laid_out("odd")), archive);
  archive = TarBuilder().file("a", bytes_of("first")).finish();
  archive.resize(archive.size() - 700);
  ASSERT_TRUE(publish("cut", archive));
  EXPECT_EQ(*written(laid_out("cut")), archive);
}

TEST_F(Image, whose_layer_is_not_what_the_configuration_says_is_refused) {
  Bytes archive = docker_archive({layer_of(1)});
  archive[5 * kTarBlockBytes] ^= 1;
  const auto refused = open(archive);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::data_loss);
}

TEST_F(Image, is_one_and_is_an_image) {
  const Json two = Json::array({Json::object(), Json::object()});
  const auto several = open(TarBuilder().file("manifest.json", bytes_of(two.dump())).finish());
  ASSERT_FALSE(several);
  EXPECT_THAT(several.error().message(), HasSubstr("2 images"));
  for (const Bytes& archive :
       {Bytes(), bytes_of("text"), test_text(1, 100),
        TarBuilder().file("manifest.json", bytes_of("not JSON")).finish(),
        TarBuilder().file("manifest.json", bytes_of("[{\"Config\":5}]")).finish()}) {
    EXPECT_FALSE(open(archive));
  }
}

TEST_F(Image, whose_index_is_of_other_types_is_refused) {
  for (const char* index : {"[]", "7", "\"text\"", "null", "{\"manifests\":[7]}",
                            "{\"manifests\":{}}", "{\"config\":1,\"layers\":\"a\"}"}) {
    const auto refused = open(TarBuilder()
                                  .file("oci-layout", bytes_of("{}"))
                                  .file("index.json", bytes_of(index))
                                  .finish());
    ASSERT_FALSE(refused) << index;
    EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument) << index;
  }
}

TEST_F(Image, that_was_edited_on_the_host_is_not_written) {
  ASSERT_TRUE(publish("1", docker_archive({layer_of(1)})));
  const std::string tree = laid_out("1");
  std::ofstream(tree + "/layers/000/files/etc/notes", std::ios::app) << "more";
  const auto refused = written(tree);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::data_loss);
  fs::remove(tree + "/layers/000/files/etc/notes");
  fs::create_symlink("/etc/passwd", tree + "/layers/000/files/etc/notes");
  EXPECT_FALSE(written(tree));
  EXPECT_EQ(written(library_.directory.path()).error().code(), ErrorCode::invalid_argument);
}

TEST(ScratchFolder, is_one_or_an_error) {
  const os::TempDirectory there;
  ASSERT_EQ(::setenv("TMPDIR", there.path("").c_str(), 1), 0);
  const auto found = scratch_folder();
  ASSERT_EQ(::setenv("TMPDIR", there.path("nothing").c_str(), 1), 0);
  const auto missing = scratch_folder();
  ::unsetenv("TMPDIR");
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_TRUE(fs::equivalent(*found, there.path("")));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::failed_precondition);
}

TEST(Skeletons, are_read_as_written_and_lead_nowhere_else) {
  const Skeleton skeleton{
      {{bytes_of("header"), "", 0}, {{}, "files/a/b", 7}, {bytes_of("end"), "", 0}}};
  const Bytes bytes = encode_skeleton(skeleton);
  const auto back = decode_skeleton(bytes);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->parts.size(), 3U);
  EXPECT_EQ(back->parts[1].path, "files/a/b");
  EXPECT_EQ(back->parts[1].size_bytes, 7U);
  EXPECT_EQ(encode_skeleton(*back), bytes);
  for (const char* path : {"../a", "/a", "a/../b", "a//b", "a/", "."}) {
    EXPECT_FALSE(decode_skeleton(encode_skeleton({{{{}, path, 1}}}))) << path;
  }
  EXPECT_FALSE(decode_skeleton(ByteView(bytes).first(bytes.size() - 1)));
}

}  // namespace
}  // namespace segue::library
