// SPDX-License-Identifier: Apache-2.0
// segue build …: what it does is the builder's.
#include "cli/commands.h"

namespace segue::cli {
namespace {

class OutputScreen : public control::Screen {
 public:
  explicit OutputScreen(Output& output) : output_(output) {}

  void print(std::string_view text) override { output_.print(text); }
  void print_json(std::string_view object) override { output_.print_json(Json::parse(object)); }
  void live(std::string_view text) override { output_.live(text); }

 private:
  Output& output_;
};

}  // namespace

control::ExitCode build(const Context& context, const control::RunBuild& run) {
  control::BuildOptions options = context.arguments.build;
  options.json = context.arguments.json;
  options.dry_run = context.arguments.dry_run;
  options.force = context.arguments.force;
  OutputScreen screen(context.output);
  const auto outcome = run(options, screen);
  if (!outcome) return context.output.fail(outcome.error());
  return context.output.finish(outcome->exit, outcome->text);
}

}  // namespace segue::cli
