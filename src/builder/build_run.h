// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/build_file.h"
#include "builder/step.h"
#include "builder/workshop.h"

namespace segue::builder {

// Runs the stages of the build under way, one at a time.
class BuildRun {
 public:
  using OnEnd = std::function<void(const StageResult&)>;

  // `workshop` outlives it.
  BuildRun(Workshop& workshop, OnEnd on_end);

  // Calls on_end once, not before it returns. building and testing are of the commit that was
  // prepared last; publishing is too, or of one whose publishing was refused for a while before.
  void begin(const Record& record, Stage stage);

 private:
  void prepare();
  void prepared(const StepEnd& end);
  void run_command();
  void publish();
  void confirm();
  base::Result<std::string> output_tree();
  void start_step(StepOptions options, void (BuildRun::*on_step_end)(const StepEnd&));
  void command_ended(const StepEnd& end);
  void published(const StepEnd& end);
  void confirmed(const StepEnd& end);
  void end(StageResult result);
  void end_later(StageResult result);
  void write_log(const std::string& line);
  [[nodiscard]] std::vector<std::string> build_environment() const;
  [[nodiscard]] const RepositoryConfig& repository() const;
  [[nodiscard]] std::string tree() const;

  Workshop& workshop_;
  OnEnd on_end_;
  Record record_;
  BuildFile file_;
  std::uint64_t prepared_ = 0;                         // whose `file_` it is
  std::map<std::uint64_t, std::string> held_outputs_;  // folders, by build
  std::vector<std::string> commands_;                  // of this stage
  std::size_t next_command_ = 0;
  std::uint64_t log_used_ = 0;
  std::unique_ptr<Step> step_;
};

// What `segue releases COMPONENT --json` printed: whether it names this version, of this commit.
bool names_release(const std::string& releases, const std::string& version,
                   const std::string& commit);
// What `segue publish --json` printed last.
struct PublishAnswer {
  std::string text;
  std::optional<std::int64_t> frozen_until_s;  // a plan goes live until then
};
PublishAnswer read_publish_answer(const std::string& printed);
// Of the options for `segue publish` those that say which library it is.
std::vector<std::string> library_options(const std::vector<std::string>& publish);

}  // namespace segue::builder
