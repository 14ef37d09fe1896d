// SPDX-License-Identifier: Apache-2.0
// A builder's folder. Whoever reads it needs no builder that runs.
//   builder.lock
//   spool/NAME                     notices that nobody has taken yet
//   repositories/NAME/mirror.git   …/refs.json: the last commit of each ref that has a record
//   builds/ID/record.json, log
//   work/ID/tree, home, tmp        of the build under way
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "builder/notice.h"
#include "builder/record.h"
#include "os/unique_fd.h"

namespace segue::builder {

inline constexpr std::size_t kMaxSpooled = 1'024;

struct RefsSeen {
  std::map<std::string, std::string> commits;  // by ref: up to here each commit has a record
  std::uint64_t waiting = 0;                   // more commits that the queue had no room for
  std::string error;                           // why the last look failed; empty: it did not
};

class Store {
 public:
  // Called before each change of the folder and of the world; tests end the process there.
  using BeforeChange = std::function<void()>;

  explicit Store(
      std::string folder, BeforeChange before_change = [] {})
      : folder_(std::move(folder)), before_change_(std::move(before_change)) {}

  [[nodiscard]] const std::string& folder() const { return folder_; }
  void before_change() const { before_change_(); }

  // Makes the folders, takes the lock until this ends, and removes what a killed git left.
  // failed_precondition: another builder has it.
  base::Result<void> open();
  // Removes what killed builds left; none may be under way.
  base::Result<void> clear_work() const;

  // Those that are damaged are left out, and named in `damaged`.
  base::Result<std::vector<Record>> records(std::vector<std::string>& damaged) const;
  base::Result<void> save(const Record& record) const;
  base::Result<void> forget(std::uint64_t id) const;

  // Where its mirror goes.
  [[nodiscard]] base::Result<void> add_repository(const std::string& repository) const;
  // Of a repository nothing of which was seen: nothing.
  [[nodiscard]] base::Result<RefsSeen> refs_seen(const std::string& repository) const;
  base::Result<void> save(const std::string& repository, const RefsSeen& seen) const;

  struct Spooled {
    std::string file;
    base::Result<Notice> notice;
  };
  // In the order in which they came. A file that is none is given with its error.
  [[nodiscard]] base::Result<std::vector<Spooled>> spooled() const;
  // Durable when it returns. resource_exhausted: there are too many already.
  base::Result<void> spool(const Notice& notice) const;
  base::Result<void> unspool(const std::string& file) const;

  // The folder of a build under way, empty: the working copy goes to …/tree.
  base::Result<std::string> make_work(std::uint64_t id) const;
  base::Result<void> remove_work(std::uint64_t id) const;

  [[nodiscard]] std::string spool_folder() const { return folder_ + "/spool"; }
  [[nodiscard]] std::string mirror(const std::string& repository) const;
  [[nodiscard]] std::string work(std::uint64_t id) const;
  [[nodiscard]] std::string log(std::uint64_t id) const;

 private:
  [[nodiscard]] std::string build_folder(std::uint64_t id) const;

  std::string folder_;
  BeforeChange before_change_;
  os::UniqueFd lock_;
};

}  // namespace segue::builder
