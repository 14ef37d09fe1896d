// SPDX-License-Identifier: Apache-2.0
#include "cli/unit_folders.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "os/temp_directory.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class UnitFoldersTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    const fs::path file = root_.path() + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void link(const std::string& path, const std::string& target) {
    const fs::path file = root_.path() + path;
    fs::create_directories(file.parent_path());
    fs::create_symlink(target, file);
  }
  std::vector<std::string> paths(const std::string& unit) {
    std::vector<std::string> found;
    const auto facts = folders_.read(unit);
    EXPECT_TRUE(facts) << facts.error().to_string();
    if (!facts) return found;
    for (const auto& source : facts->sources) {
      found.push_back(source.path.substr(root_.path().size()));
    }
    return found;
  }

  os::TempDirectory root_;
  UnitFolders folders_{root_.path()};
};

TEST_F(UnitFoldersTest, the_first_folder_wins_and_drop_ins_apply_by_name) {
  put("/lib/systemd/system/kv.service", "[Service]\n");
  put("/etc/systemd/system/kv.service", "[Service]\n");
  put("/lib/systemd/system/kv.service.d/b.conf", "");
  put("/lib/systemd/system/kv.service.d/a.conf", "x");
  put("/run/systemd/system/kv.service.d/a.conf", "x");
  put("/etc/systemd/system/service.d/c.conf", "x");
  put("/etc/systemd/system/kv.service.d/segue.conf", "x");
  put("/etc/systemd/system/kv.service.d/readme.txt", "x");
  EXPECT_THAT(paths("kv.service"), ElementsAre("/etc/systemd/system/kv.service",
                                               "/run/systemd/system/kv.service.d/a.conf",
                                               "/etc/systemd/system/service.d/c.conf"));
}

TEST_F(UnitFoldersTest, an_instance_has_its_templates_file_and_drop_ins) {
  put("/lib/systemd/system/worker@.service", "[Service]\n");
  put("/etc/systemd/system/worker@.service.d/a.conf", "x");
  put("/etc/systemd/system/worker@one.service.d/b.conf", "x");
  put("/etc/systemd/system/worker@two.service.d/c.conf", "x");
  EXPECT_THAT(paths("worker@one.service"),
              ElementsAre("/lib/systemd/system/worker@.service",
                          "/etc/systemd/system/worker@.service.d/a.conf",
                          "/etc/systemd/system/worker@one.service.d/b.conf"));
}

TEST_F(UnitFoldersTest, a_name_with_dashes_has_the_drop_ins_of_its_beginnings) {
  put("/lib/systemd/system/a-b-c.service", "[Service]\n");
  put("/etc/systemd/system/a-.service.d/1.conf", "x");
  put("/etc/systemd/system/a-b-.service.d/1.conf", "x");
  EXPECT_THAT(paths("a-b-c.service"), ElementsAre("/lib/systemd/system/a-b-c.service",
                                                  "/etc/systemd/system/a-b-.service.d/1.conf"));
}

TEST_F(UnitFoldersTest, masked_and_other_names_are_refused) {
  link("/etc/systemd/system/masked.service", "/dev/null");
  put("/lib/systemd/system/masked.service", "[Service]\n");
  put("/lib/systemd/system/ssh.service", "[Service]\n");
  link("/etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service");
  EXPECT_THAT(folders_.read("masked.service").error().message(), HasSubstr("is masked"));
  EXPECT_THAT(folders_.read("sshd.service").error().message(), HasSubstr("name of ssh.service"));
  EXPECT_EQ(folders_.read("none.service").error().code(), ErrorCode::not_found);
}

TEST_F(UnitFoldersTest, a_linked_unit_is_read_where_it_is) {
  put("/opt/kv/kv.service", "[Service]\nNice=1\n");
  link("/etc/systemd/system/kv.service", "/opt/kv/kv.service");
  EXPECT_EQ(folders_.read("kv.service")->sources.front().text, "[Service]\nNice=1\n");
}

TEST_F(UnitFoldersTest, finds_the_sockets_that_start_it) {
  put("/lib/systemd/system/kv.service", "[Service]\n");
  put("/lib/systemd/system/kv.socket", "[Socket]\nListenStream=1\n");
  put("/lib/systemd/system/other.socket", "[Socket]\nService=kv.service\n");
  put("/lib/systemd/system/unrelated.socket", "[Socket]\nService=x.service\n");
  EXPECT_THAT(folders_.read("kv.service")->sockets, ElementsAre("kv.socket", "other.socket"));
  link("/etc/systemd/system/kv.socket", "/dev/null");
  EXPECT_THAT(folders_.read("kv.service")->sockets, ElementsAre("other.socket"));
}

TEST_F(UnitFoldersTest, a_drop_in_comes_and_goes_with_its_folder) {
  EXPECT_EQ(folders_.read_drop_in("kv.service").error().code(), ErrorCode::not_found);
  ASSERT_TRUE(folders_.write_drop_in("kv.service", "text"));
  EXPECT_EQ(folders_.read_drop_in("kv.service").value(), "text");
  ASSERT_TRUE(folders_.remove_drop_in("kv.service"));
  EXPECT_FALSE(fs::exists(root_.path("etc/systemd/system/kv.service.d")));
}

}  // namespace
}  // namespace segue::cli
