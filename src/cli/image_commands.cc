// SPDX-License-Identifier: Apache-2.0
// segue image: from the tree of a release, or from a registry, to what a container engine has.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "cli/commands.h"
#include "cli/registry_login.h"
#include "control/text.h"
#include "library/image_tree.h"
#include "library/scratch_file.h"
#include "os/client_confinement.h"
#include "os/confinement.h"
#include "runtime/engine_connection.h"
#include "staging/place.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::bytes_text;
using control::ExitCode;
using runtime::EngineConnection;
using runtime::Image;

constexpr base::Duration kLoadLimit = std::chrono::minutes(30);

Result<os::UniqueFd> new_file(const std::string& path) {
  os::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return fail(base::errno_error(fmt::format("make {}", path), errno));
  return file;
}

// The tree itself, or of a place that of the version.
Result<std::string> tree_of(const LibraryOptions& options) {
  if (options.version.empty()) return options.source;
  SEGUE_ASSIGN(const auto place,
               staging::Place::open({.directory = options.source, .holder = "segue image"}));
  for (const auto& tree : place.trees()) {
    if (tree.record.version == options.version) return tree.path;
  }
  return fail(ErrorCode::not_found, "version {} is not staged in {}: `segue stage` it first",
              options.version, options.source);
}

ExitCode write_archive(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const bool dry_run = context.arguments.dry_run;
  std::uint64_t bytes = 0;
  const auto written = [&]() -> Result<void> {
    SEGUE_ASSIGN(const std::string tree, tree_of(options));
    os::UniqueFd file;
    if (!dry_run) {
      SEGUE_ASSIGN(file, new_file(options.output));
    }
    auto done = library::write_image(tree, [&](delta::ByteView piece) -> Result<void> {
      bytes += piece.size();
      return dry_run ? Result<void>() : library::append_to(file.get(), piece, options.output);
    });
    if (!done && !dry_run) ::unlink(options.output.c_str());  // half of it is of no use
    return done;
  }();
  if (!written) return output.fail(written.error());
  return output.finish(ExitCode::done,
                       fmt::format("an image of {} {} {}", bytes_text(bytes),
                                   dry_run ? "would be written to" : "is in", options.output));
}

Result<Image> inspect(EngineConnection& connection, const std::string& image) {
  return connection.ask<Image>([&](auto on_answer) {
    return connection.engine().inspect_image(image, std::move(on_answer));
  });
}

// What talks with an engine may ask it for anything; by itself it reads `path`, if that is not
// empty, and reaches nobody else.
Result<void> confine_to_engine(const std::string& path) {
  os::FileRules rules;
  if (!path.empty()) rules.readable.push_back(path);
  SEGUE_TRY(os::confine_files(rules));
  auto calls = os::client_call_rules({AF_UNIX});
  for (const int call : {__NR_openat2, __NR_fgetxattr, __NR_flistxattr}) {
    calls.push_back({.call = call});
  }
  return os::confine_system_calls(calls, os::Otherwise::refuse);
}

struct Got {
  std::string id;
  std::string text;
};

Result<Got> load(EngineConnection& connection, const LibraryOptions& options, bool dry_run) {
  SEGUE_ASSIGN(const std::string tree, tree_of(options));
  SEGUE_ASSIGN(const std::string folder, library::scratch_folder());
  SEGUE_ASSIGN(os::UniqueFd archive, library::unnamed_file(folder));
  SEGUE_TRY(confine_to_engine(tree));
  SEGUE_ASSIGN(const std::string id, library::image_id(tree));
  const auto there = inspect(connection, id);
  if (there) return Got{there->id, fmt::format("{} is loaded already", id)};
  if (there.error().code() != ErrorCode::not_found) return fail(there.error());
  if (dry_run) return Got{id, fmt::format("{} would be loaded", id)};
  std::uint64_t bytes = 0;
  SEGUE_TRY(library::write_image(tree, [&](delta::ByteView piece) {
    bytes += piece.size();
    return library::append_to(archive.get(), piece, folder);
  }));
  if (::lseek(archive.get(), 0, SEEK_SET) != 0) {
    return fail(base::errno_error("read the archive again", errno));
  }
  using Names = std::vector<std::string>;
  SEGUE_ASSIGN(const Names names, connection.ask<Names>([&](auto on_answer) {
    return connection.engine().load_image(std::move(archive), kLoadLimit, {}, std::move(on_answer));
  }));
  auto loaded = inspect(connection, id);
  // An engine may name images by more than their configuration.
  if (!loaded && !names.empty()) loaded = inspect(connection, names.front());
  if (!loaded) return fail(loaded.error().with("look for what was loaded"));
  return Got{loaded->id, fmt::format("{} is loaded: {}", loaded->id, bytes_text(bytes))};
}

Result<Got> pull(EngineConnection& connection, const std::string& name, bool dry_run) {
  SEGUE_ASSIGN(const std::string login, registry_login(name));
  SEGUE_TRY(confine_to_engine(login));
  const auto there = inspect(connection, name);
  if (there) return Got{there->id, fmt::format("{} is {}", name, there->id)};
  if (there.error().code() != ErrorCode::not_found) return fail(there.error());
  if (dry_run) return Got{"", name + " would be pulled"};
  SEGUE_ASSIGN(const Image image, connection.ask<Image>([&](auto on_answer) {
    return connection.engine().pull_image({.reference = name, .credentials_file = login}, {},
                                          std::move(on_answer));
  }));
  return Got{image.id, fmt::format("{} is pulled: {}", name, image.id)};
}

}  // namespace

ExitCode write_image(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const int ways =
      (options.output.empty() ? 0 : 1) + (options.load ? 1 : 0) + (options.pull ? 1 : 0);
  if (ways != 1) {
    return output.finish(ExitCode::usage, "one of --output FILE, --load and --pull is needed");
  }
  if (!options.output.empty()) return write_archive(context);
  const auto got = [&]() -> Result<Got> {
    SEGUE_ASSIGN(const auto connection, EngineConnection::open(options.engine));
    return options.load ? load(*connection, options, context.arguments.dry_run)
                        : pull(*connection, options.source, context.arguments.dry_run);
  }();
  if (!got) return output.fail(got.error());
  return output.finish(Json{{"done", true},
                            {"exit", static_cast<int>(ExitCode::done)},
                            {"text", got->text},
                            {"image", got->id}});
}

}  // namespace segue::cli
