// SPDX-License-Identifier: Apache-2.0
// segue tuf-client init, refresh, download. All end with 0 or 1, and with 2 for a wrong command
// line, as other TUF clients do.
#include <fmt/format.h>

#include "cli/commands.h"
#include "crypto/digest.h"
#include "fetch/metadata_updater.h"
#include "os/clock.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;

constexpr std::size_t kMaxFileNameBytes = 200;

tuf::Time now() {
  return std::chrono::floor<std::chrono::seconds>(os::SystemClock().realtime_now());
}

ExitCode fail(Output& output, const base::Error& error) {
  std::string text;
  for (auto context = error.context().rbegin(); context != error.context().rend(); ++context) {
    text += *context + ": ";
  }
  return output.finish(ExitCode::failed, text + error.message());
}

// The name of the first option that is needed and was not given, or "".
std::string missing_option(const TrustOptions& options, Command command) {
  if (options.metadata_dir.empty()) return "--metadata-dir";
  if (command == Command::tuf_init) return "";
  if (options.metadata_url.empty()) return "--metadata-url";
  if (command == Command::tuf_refresh) return "";
  if (options.target_names.empty()) return "--target-name";
  if (options.target_base_url.empty()) return "--target-base-url";
  return options.target_dir.empty() ? "--target-dir" : "";
}

// A name in one directory, whatever the path of the target is.
std::string target_file_name(const std::string& target_path) {
  const std::string name = tuf::percent_encode(target_path);
  const bool usable = name.size() <= kMaxFileNameBytes && !name.starts_with('.');
  return usable ? name : "sha256-" + crypto::to_hex(crypto::digest_of(target_path));
}

Result<void> download(const Context& context, fetch::MetadataUpdater& updater,
                      fetch::HttpClient& http, const std::string& name) {
  const TrustOptions& options = context.arguments.trust;
  SEGUE_ASSIGN(const tuf::FoundTarget target, updater.find(name));
  const std::string path = options.target_dir + "/" + target_file_name(name);
  if (context.arguments.dry_run) {
    context.output.print(fmt::format("{}: {} bytes, described by '{}', would be kept as {}", name,
                                     target.file.length, target.role, path));
    return {};
  }
  const bool consistent = updater.client().trusted().consistent_snapshot();
  const std::string url = fetch::join_url(options.target_base_url, target.location(consistent));
  SEGUE_ASSIGN(const bool came, fetch::download_target(http, target, url, path, {}));
  context.output.print(fmt::format("{}: {} bytes, {} {}", name, target.file.length,
                                   came ? "downloaded to" : "already in", path));
  context.output.print_json(Json{{"target", name},
                                 {"path", path},
                                 {"role", target.role},
                                 {"bytes", target.file.length},
                                 {"downloaded", came}});
  return {};
}

ExitCode init(const Context& context) {
  Output& output = context.output;
  const TrustOptions& options = context.arguments.trust;
  const auto root = os::read_file(options.file, tuf::ClientLimits().max_root_bytes);
  if (!root) return fail(output, root.error());
  const auto trusted = tuf::TrustedMetadata::start(*root, now());
  if (!trusted) return fail(output, trusted.error().with(options.file));
  if (context.arguments.dry_run) {
    return output.finish(ExitCode::done,
                         fmt::format("root {} would be trusted", trusted->root().version));
  }
  if (const auto kept = fetch::trust_root(options.metadata_dir, *root, now()); !kept) {
    return fail(output, kept.error());
  }
  return output.finish(ExitCode::done, fmt::format("root {} is trusted in {}",
                                                   trusted->root().version, options.metadata_dir));
}

}  // namespace

ExitCode tuf_client(const Context& context) {
  Output& output = context.output;
  const Arguments& arguments = context.arguments;
  const TrustOptions& options = arguments.trust;
  if (const std::string missing = missing_option(options, arguments.command); !missing.empty()) {
    return output.finish(ExitCode::usage,
                         fmt::format("{} is missing; see `segue tuf-client --help`", missing));
  }
  if (arguments.command == Command::tuf_init) return init(context);

  fetch::HttpClient http;
  fetch::MetadataUpdater updater({.directory = options.metadata_dir,
                                  .url = options.metadata_url,
                                  .dry_run = arguments.dry_run},
                                 http);
  if (const auto fresh = updater.refresh(now()); !fresh) return fail(output, fresh.error());
  if (arguments.command == Command::tuf_download) {
    for (const auto& name : options.target_names) {
      if (const auto kept = download(context, updater, http, name); !kept) {
        return fail(output, kept.error());
      }
    }
  }
  const auto& trusted = updater.client().trusted();
  return output.finish(
      ExitCode::done,
      fmt::format("root {}, timestamp {}, snapshot {}, targets {}, valid until {}",
                  trusted.root().version, trusted.timestamp().version, trusted.snapshot().version,
                  updater.client().targets().version, tuf::to_string(trusted.timestamp().expires)));
}

}  // namespace segue::cli
