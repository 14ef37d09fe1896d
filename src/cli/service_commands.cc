// SPDX-License-Identifier: Apache-2.0
// segue check, segue import: files of services.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/types.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/component_file.h"
#include "fleet/component_document.h"
#include "os/files.h"
#include "service/compose_file.h"
#include "service/service_file.h"
#include "service/service_text.h"

namespace segue::cli {
namespace {

using control::ExitCode;

ExitCode refuse(Output& output, const std::string& path, const std::vector<std::string>& problems) {
  for (const auto& problem : problems) output.note(problem);
  const std::string text = fmt::format("{} cannot be used: see above", path);
  if (!output.json()) return output.finish(ExitCode::usage, text);
  return output.finish(Json{{"done", true},
                            {"exit", static_cast<int>(ExitCode::usage)},
                            {"problems", problems},
                            {"text", fmt::format("{}", fmt::join(problems, "\n"))}});
}

Json json_of(const service::Service& service) {
  Json components = Json::array();
  for (const auto& component : service.components) {
    components.push_back({{"component", Json::parse(fleet::write_component(component.spec))},
                          {"rollout", Json::parse(fleet::write_strategy(component.strategy))}});
  }
  return {{"done", true},
          {"exit", 0},
          {"kind", "service"},
          {"service", service.name},
          {"components", std::move(components)}};
}

ExitCode check_service(Output& output, const std::string& path, const std::string& text) {
  const auto reading = service::read_service(path, text);
  if (!reading.service) return refuse(output, path, reading.problems);
  if (output.json()) return output.finish(json_of(*reading.service));
  std::string whole = service::service_text(*reading.service,
                                            {.with_defaults = true, .heading = {}, .comments = {}});
  whole.pop_back();
  output.print(whole);
  return ExitCode::done;
}

// `segue run --file`'s.
ExitCode check_component(Output& output, const std::string& path, const std::string& text) {
  const auto file = parse_component_file(path, text);
  if (!file) return refuse(output, path, {file.error().message()});
  if (output.json()) {
    return output.finish(
        Json{{"done", true}, {"exit", 0}, {"kind", "component"}, {"name", file->name}});
  }
  return output.finish(ExitCode::done,
                       fmt::format("{}: component '{}' of `segue run --file`", path, file->name));
}

service::ComposeOptions compose_options(const ServiceOptions& asked) {
  return {.service = asked.name,
          .directory = std::filesystem::absolute(asked.compose).lexically_normal().parent_path(),
          .volumes = asked.volumes,
          .read_file = [](const std::string& path) {
            return os::read_file(path, service::kMaxEnvironmentFileBytes);
          }};
}

// The text goes to stdout where nothing else is to get it.
ExitCode answer_import(Output& output, const ServiceOptions& asked, const std::string& text,
                       bool is_written) {
  const std::string path = asked.output.empty() ? "stdout" : asked.output;
  const std::string said = fmt::format("{} {}", path, is_written ? "written" : "not written");
  if (output.json()) {
    return output.finish(Json{{"done", true},
                              {"exit", 0},
                              {"written", is_written},
                              {"output", asked.output},
                              {"file", text},
                              {"text", said}});
  }
  if (is_written) {
    return output.finish(ExitCode::done, said + "; `segue check` shows what it means");
  }
  output.print(std::string_view(text).substr(0, text.size() - 1));
  return ExitCode::done;
}

}  // namespace

ExitCode import_compose(const Context& context) {
  Output& output = context.output;
  const ServiceOptions& asked = context.arguments.service;
  if (!asked.volumes.empty() && !asked.volumes.starts_with('/')) {
    return output.finish(ExitCode::usage,
                         fmt::format("--volumes: '{}' is not an absolute path", asked.volumes));
  }
  const auto text = os::read_file(asked.compose, service::kMaxComposeFileBytes);
  if (!text) return output.fail(text.error().with("cannot read " + asked.compose));
  const auto reading = service::read_compose(asked.compose, *text, compose_options(asked));
  if (!reading.service) return refuse(output, asked.compose, reading.problems);
  const std::string written = service::service_text(*reading.service, reading.text);
  if (asked.output.empty() || context.arguments.dry_run) {
    return answer_import(output, asked, written, false);
  }
  constexpr mode_t kForAll = 0644;  // it holds no secrets, only where they are
  if (const auto done = os::add_file_atomically(asked.output, written, kForAll); !done) {
    return output.fail(done.error());
  }
  return answer_import(output, asked, written, true);
}

ExitCode check_file(const Context& context) {
  const std::string& path = context.arguments.service.file;
  const auto text = os::read_file(path, service::kMaxServiceFileBytes);
  if (!text) return context.output.fail(text.error().with("cannot read " + path));
  // Two kinds of files have one name; what says neither is taken for a service's.
  if (service::is_component_file(*text)) return check_component(context.output, path, *text);
  return check_service(context.output, path, *text);
}

}  // namespace segue::cli
