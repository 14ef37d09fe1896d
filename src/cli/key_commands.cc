// SPDX-License-Identifier: Apache-2.0
// segue key make, inspect, root, rotate, sign.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <map>

#include "cli/commands.h"
#include "cli/signing_keys.h"
#include "crypto/digest.h"
#include "os/clock.h"
#include "os/files.h"
#include "tuf/repository.h"
#include "tuf/trusted_metadata.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;
using crypto::PrivateKey;
using crypto::PublicKey;

constexpr std::size_t kMaxMetadataBytes = std::size_t{5} << 20;
constexpr mode_t kPublicMode = 0644;
constexpr mode_t kPrivateMode = 0600;

tuf::Time now() {
  return std::chrono::floor<std::chrono::seconds>(os::SystemClock().realtime_now());
}

// From FILE.pub, from any public key in PEM, or from the private one.
Result<tuf::Key> key_in(const std::string& path, const TrustOptions& options) {
  SEGUE_ASSIGN(const std::string text, os::read_file(path, crypto::kMaxPemBytes));
  if (text.find("PRIVATE KEY-----") != std::string::npos) {
    SEGUE_ASSIGN(const PrivateKey key, read_private_key(path, options.passphrase_file));
    return tuf::Key::of(key.public_key());
  }
  auto key = PublicKey::from_pem(text);
  if (!key) return fail(std::move(key).error().with(path));
  return tuf::Key::of(*key);
}

Result<std::vector<PrivateKey>> signers_of(const TrustOptions& options) {
  std::vector<PrivateKey> keys;
  for (const auto& path : options.signers) {
    SEGUE_ASSIGN(PrivateKey key, read_private_key(path, options.passphrase_file));
    keys.push_back(std::move(key));
  }
  return keys;
}

struct Assignment {
  std::string role;
  std::string value;
};
Result<Assignment> parse_assignment(const std::string& text, std::string_view option) {
  const std::size_t equals = text.find('=');
  if (equals != std::string::npos && tuf::is_top_level(text.substr(0, equals)) &&
      equals + 1 < text.size()) {
    return Assignment{text.substr(0, equals), text.substr(equals + 1)};
  }
  return fail(ErrorCode::invalid_argument,
              "{} {}: write ROLE=…, the role being root, targets, snapshot or timestamp", option,
              text);
}

bool is_key_id(std::string_view text) {
  return text.size() == 64 && crypto::from_hex(text).has_value();
}

Result<std::vector<tuf::RoleChange>> changes_of(const TrustOptions& options) {
  std::map<std::string, tuf::RoleChange> changes;
  for (const auto& text : options.add) {
    SEGUE_ASSIGN(const Assignment each, parse_assignment(text, "--add-key"));
    SEGUE_ASSIGN(tuf::Key key, key_in(each.value, options));
    changes[each.role].add.push_back(std::move(key));
  }
  for (const auto& text : options.remove) {
    SEGUE_ASSIGN(const Assignment each, parse_assignment(text, "--remove-key"));
    std::string id = each.value;
    if (!is_key_id(id)) {
      SEGUE_ASSIGN(const tuf::Key key, key_in(each.value, options));
      id = key.id;
    }
    changes[each.role].remove.push_back(id);
  }
  for (const auto& text : options.thresholds) {
    SEGUE_ASSIGN(const Assignment each, parse_assignment(text, "--threshold"));
    std::uint64_t number = 0;
    const char* end = each.value.data() + each.value.size();
    const auto [read, problem] = std::from_chars(each.value.data(), end, number);
    if (problem != std::errc() || read != end || number == 0) {
      return fail(ErrorCode::invalid_argument, "--threshold {}: not a number from 1 up", text);
    }
    changes[each.role].threshold = number;
  }
  std::vector<tuf::RoleChange> list;
  for (auto& [role, change] : changes) {
    change.role = role;
    list.push_back(std::move(change));
  }
  return list;
}

// What is still to be done before clients take this root.
std::string advice_for(const tuf::MissingSignatures& missing) {
  if (missing.none()) return "it is complete";
  std::string text;
  if (missing.own > 0) text = fmt::format("{} of its own root keys", missing.own);
  if (missing.of_predecessor > 0) {
    text += fmt::format("{}{} of the root keys before it", text.empty() ? "" : " and ",
                        missing.of_predecessor);
  }
  return fmt::format("{} have to sign it still: `segue key sign`", text);
}

struct SignedRoot {
  std::string bytes;
  std::uint64_t version;
  tuf::MissingSignatures missing;
};

Result<SignedRoot> signed_root(const tuf::Root& root, const tuf::Root* predecessor,
                               const TrustOptions& options) {
  SEGUE_ASSIGN(const auto keys, signers_of(options));
  SEGUE_ASSIGN(std::string bytes, tuf::sign_metadata(root, keys));
  SEGUE_ASSIGN(const auto missing, tuf::missing_signatures(bytes, predecessor));
  return SignedRoot{std::move(bytes), root.version, missing};
}

Result<tuf::Root> root_in(const std::string& path) {
  SEGUE_ASSIGN(const std::string bytes, os::read_file(path, kMaxMetadataBytes));
  // Only against mistakes: who says that a root is the right one is the user.
  auto trusted = tuf::TrustedMetadata::start(bytes, now());
  if (!trusted) return fail(std::move(trusted).error().with(path));
  return trusted->root();
}

Result<void> refuse_existing(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return {};
  return fail(ErrorCode::already_exists, "{} exists: name another file, or remove it first", path);
}

ExitCode finish_root(const Context& context, const SignedRoot& root, const std::string& path) {
  Output& output = context.output;
  if (!context.arguments.dry_run) {
    const auto written = os::write_file_atomically(path, root.bytes, kPublicMode);
    if (!written) return output.fail(written.error());
  }
  const std::string text = fmt::format("root {} {} {}; {}", root.version,
                                       context.arguments.dry_run ? "would be written to" : "is in",
                                       path, advice_for(root.missing));
  output.print_json(Json{{"done", true},
                         {"exit", 0},
                         {"text", text},
                         {"version", root.version},
                         {"file", path},
                         {"missing", root.missing.own},
                         {"missing_of_predecessor", root.missing.of_predecessor}});
  output.print(text);
  return ExitCode::done;
}

ExitCode make(const Context& context) {
  Output& output = context.output;
  const TrustOptions& options = context.arguments.trust;
  const std::string public_path = options.file + ".pub";
  for (const auto& path : {options.file, public_path}) {
    if (const auto free = refuse_existing(path); !free) return output.fail(free.error());
  }
  if (context.arguments.dry_run) {
    return output.finish(ExitCode::done,
                         fmt::format("{} and {} would be written", options.file, public_path));
  }
  const auto type = options.type == "rsa"     ? crypto::KeyType::rsa
                    : options.type == "ecdsa" ? crypto::KeyType::ecdsa_p256
                                              : crypto::KeyType::ed25519;
  const auto passphrase = read_passphrase(options.passphrase_file);
  if (!passphrase) return output.fail(passphrase.error());
  const auto key = PrivateKey::generate(type);
  if (!key) return output.fail(key.error());
  const auto pem = key->to_pem(*passphrase);
  if (!pem) return output.fail(pem.error());
  auto written = os::write_file_atomically(options.file, *pem, kPrivateMode);
  if (written) {
    written = os::write_file_atomically(public_path, key->public_key().pem(), kPublicMode);
  }
  if (!written) return output.fail(written.error());
  const std::string id = tuf::Key::of(key->public_key()).id;
  const std::string text =
      fmt::format("{} key {} is in {}{}; its public half in {}", options.type, id, options.file,
                  passphrase->empty() ? ", not encrypted" : ", encrypted", public_path);
  output.print_json(Json{{"done", true},
                         {"exit", 0},
                         {"text", text},
                         {"keyid", id},
                         {"file", options.file},
                         {"public_file", public_path}});
  output.print(text);
  return ExitCode::done;
}

ExitCode make_root(const Context& context) {
  const TrustOptions& options = context.arguments.trust;
  const auto root = [&]() -> Result<SignedRoot> {
    SEGUE_TRY(refuse_existing(options.file));
    SEGUE_ASSIGN(const auto changes, changes_of(options));
    SEGUE_ASSIGN(const tuf::Root first,
                 tuf::make_root(changes, now() + std::chrono::days(options.expires_days)));
    return signed_root(first, nullptr, options);
  }();
  if (!root) return context.output.fail(root.error());
  return finish_root(context, *root, options.file);
}

ExitCode rotate(const Context& context) {
  const TrustOptions& options = context.arguments.trust;
  std::string path = options.out;
  const auto root = [&]() -> Result<SignedRoot> {
    SEGUE_ASSIGN(const tuf::Root before, root_in(options.file));
    SEGUE_ASSIGN(const auto changes, changes_of(options));
    SEGUE_ASSIGN(const tuf::Root next,
                 tuf::next_root(before, changes, now() + std::chrono::days(options.expires_days)));
    if (path.empty()) {
      path = (std::filesystem::path(options.file).parent_path() /
              fmt::format("{}.root.json", next.version))
                 .string();
    }
    SEGUE_TRY(refuse_existing(path));
    return signed_root(next, &before, options);
  }();
  if (!root) return context.output.fail(root.error());
  return finish_root(context, *root, path);
}

ExitCode sign(const Context& context) {
  Output& output = context.output;
  const TrustOptions& options = context.arguments.trust;
  if (options.signers.empty()) return output.finish(ExitCode::usage, "--sign-with is missing");
  std::string advice;
  const auto bytes = [&]() -> Result<std::string> {
    SEGUE_ASSIGN(const std::string before, os::read_file(options.file, kMaxMetadataBytes));
    SEGUE_ASSIGN(const auto keys, signers_of(options));
    SEGUE_ASSIGN(std::string after, tuf::add_signatures(before, keys));
    SEGUE_ASSIGN(const tuf::Envelope envelope, tuf::parse_envelope(after));
    advice = fmt::format("{} signatures", envelope.signatures.size());
    if (!tuf::from_json<tuf::Root>(envelope.signed_part)) return after;
    std::optional<tuf::Root> previous;
    if (!options.previous.empty()) {
      SEGUE_ASSIGN(previous, root_in(options.previous));
    }
    SEGUE_ASSIGN(const auto missing,
                 tuf::missing_signatures(after, previous ? &*previous : nullptr));
    advice = advice_for(missing);
    return after;
  }();
  if (!bytes) return output.fail(bytes.error());
  if (!context.arguments.dry_run) {
    const auto written = os::write_file_atomically(options.file, *bytes, kPublicMode);
    if (!written) return output.fail(written.error());
  }
  return output.finish(ExitCode::done,
                       fmt::format("{} {} signed; {}", options.file,
                                   context.arguments.dry_run ? "would be" : "is", advice));
}

ExitCode inspect_metadata(const Context& context, const std::string& bytes) {
  Output& output = context.output;
  const auto envelope = tuf::parse_envelope(bytes);
  if (!envelope) return output.fail(envelope.error().with(context.arguments.trust.file));
  Json signers = Json::array();
  for (const auto& signature : envelope->signatures) signers.push_back(signature.key_id);
  Json object = {{"done", true}, {"exit", 0}, {"signed_by", signers}};
  std::vector<std::string> lines;
  if (const auto root = tuf::from_json<tuf::Root>(envelope->signed_part)) {
    const auto missing = tuf::missing_signatures(bytes, nullptr);
    lines.push_back(
        fmt::format("root {}, valid until {}, signed by {} keys{}", root->version,
                    tuf::to_string(root->expires), signers.size(),
                    missing && missing->own > 0 ? fmt::format(", {} too few", missing->own) : ""));
    for (const auto& [name, role] : root->roles) {
      lines.push_back(fmt::format("{:10} {} of {}", name, role.threshold, role.key_ids.size()));
      for (const auto& id : role.key_ids) {
        const auto key = root->keys.find(id);
        const bool usable = key != root->keys.end() && key->second.key;
        lines.push_back(fmt::format("  {} {}", id,
                                    usable ? crypto::to_string(key->second.key->type())
                                           : std::string_view("not supported")));
      }
    }
    object["version"] = root->version;
    object["expires"] = tuf::to_string(root->expires);
    object["roles"] = tuf::to_json(*root).at("roles");
    object["missing"] = missing ? missing->own : 0;
  } else {
    const Json& part = envelope->signed_part;
    for (const char* name : {"_type", "version", "expires"}) {
      if (!part.is_object() || !part.contains(name)) continue;
      object[name] = part.at(name);
      lines.push_back(fmt::format("{}: {}", name, part.at(name).dump()));
    }
    lines.push_back(fmt::format("signed by: {}", signers.dump()));
  }
  output.print(fmt::format("{}", fmt::join(lines, "\n")));
  output.print_json(object);
  return ExitCode::done;
}

ExitCode inspect(const Context& context) {
  Output& output = context.output;
  const TrustOptions& options = context.arguments.trust;
  const auto bytes = os::read_file(options.file, kMaxMetadataBytes);
  if (!bytes) return output.fail(bytes.error());
  if (bytes->find_first_not_of(" \t\r\n") != std::string::npos &&
      bytes->at(bytes->find_first_not_of(" \t\r\n")) == '{') {
    return inspect_metadata(context, *bytes);
  }
  const auto key = key_in(options.file, options);
  if (!key) return output.fail(key.error());
  const bool is_private = bytes->find("PRIVATE KEY-----") != std::string::npos;
  const bool is_encrypted = bytes->find("BEGIN ENCRYPTED") != std::string::npos;
  const std::string_view type = crypto::to_string(key->key->type());
  output.print(fmt::format("{} {} key{}\nkeyid {}", is_private ? "private" : "public", type,
                           is_encrypted ? ", encrypted" : "", key->id));
  output.print_json(Json{{"done", true},
                         {"exit", 0},
                         {"keyid", key->id},
                         {"type", type},
                         {"private", is_private},
                         {"encrypted", is_encrypted},
                         {"key", key->json}});
  return ExitCode::done;
}

}  // namespace

ExitCode manage_keys(const Context& context) {
  switch (context.arguments.command) {
    case Command::key_make:
      return make(context);
    case Command::key_root:
      return make_root(context);
    case Command::key_rotate:
      return rotate(context);
    case Command::key_sign:
      return sign(context);
    default:
      return inspect(context);
  }
}

}  // namespace segue::cli
