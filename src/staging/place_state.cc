// SPDX-License-Identifier: Apache-2.0
#include "staging/place_state.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "library/release.h"
#include "tree/beneath.h"
#include "tuf/json.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Json;

constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kMaxTrees = 1000;

Result<std::uint64_t> number_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) {
    return fail(ErrorCode::data_loss, "'{}' is missing or is no number", name);
  }
  return found->get<std::uint64_t>();
}

Result<std::string> text_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) {
    return fail(ErrorCode::data_loss, "'{}' is missing or is no text", name);
  }
  return found->get<std::string>();
}

Json to_json(const TreeRecord& tree) {
  return {{"number", tree.number},
          {"inode", tree.directory.inode},
          {"born_ns", tree.directory.born_ns},
          {"component", tree.component},
          {"version", tree.version},
          {"root", tree.root ? tree.root->hex() : ""},
          {"bytes", tree.bytes},
          {"files", tree.files}};
}

Result<TreeRecord> tree_from(const Json& json) {
  if (!json.is_object()) return fail(ErrorCode::data_loss, "a tree is no object");
  TreeRecord tree;
  SEGUE_ASSIGN(tree.number, number_at(json, "number"));
  SEGUE_ASSIGN(tree.directory.inode, number_at(json, "inode"));
  const auto born = json.find("born_ns");
  if (born == json.end() || !born->is_number_integer()) {
    return fail(ErrorCode::data_loss, "'born_ns' is missing or is no number");
  }
  tree.directory.born_ns = born->get<std::int64_t>();
  SEGUE_ASSIGN(tree.component, text_at(json, "component"));
  SEGUE_ASSIGN(tree.version, text_at(json, "version"));
  SEGUE_ASSIGN(const std::string root, text_at(json, "root"));
  if (!root.empty()) {
    tree.root = library::digest_from_hex(root);
    if (!tree.root) return fail(ErrorCode::data_loss, "'root' is no digest");
  }
  SEGUE_ASSIGN(tree.bytes, number_at(json, "bytes"));
  SEGUE_ASSIGN(tree.files, number_at(json, "files"));
  return tree;
}

}  // namespace

Result<DirectoryId> directory_id(const std::string& path) {
  struct statx status{};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
              &status) != 0) {
    return fail(base::errno_error("stat " + tree::shown(path), errno));
  }
  if (!S_ISDIR(status.stx_mode)) {
    return fail(ErrorCode::failed_precondition, "{} is not a directory", tree::shown(path));
  }
  DirectoryId id{.inode = status.stx_ino};
  if ((status.stx_mask & STATX_BTIME) != 0) {
    id.born_ns = std::int64_t{status.stx_btime.tv_sec} * 1'000'000'000 +
                 std::int64_t{status.stx_btime.tv_nsec};
  }
  return id;
}

std::string TreeRecord::name() const {
  return version.empty() ? "a tree of unknown origin" : component + " " + version;
}

const TreeRecord* PlaceState::find(std::uint64_t number) const {
  const auto found = std::ranges::find(trees, number, &TreeRecord::number);
  return found == trees.end() ? nullptr : &*found;
}

TreeRecord* PlaceState::find(std::uint64_t number) {
  const auto found = std::ranges::find(trees, number, &TreeRecord::number);
  return found == trees.end() ? nullptr : &*found;
}

const TreeRecord* PlaceState::find(const DirectoryId& directory) const {
  const auto found = std::ranges::find(trees, directory, &TreeRecord::directory);
  return found == trees.end() ? nullptr : &*found;
}

void PlaceState::remove(std::uint64_t number) {
  std::erase_if(trees, [&](const TreeRecord& tree) { return tree.number == number; });
  if (previous == number) previous.reset();
}

void settle(PlaceState& state, const std::optional<DirectoryId>& live) {
  if (!state.intent) return;
  const Intent intent = *state.intent;
  state.intent.reset();
  const TreeRecord* to = state.find(intent.to);
  if (live && to != nullptr && to->directory == *live) state.previous = intent.from;
}

std::string encode(const PlaceState& state) {
  Json trees = Json::array();
  for (const TreeRecord& tree : state.trees) trees.push_back(to_json(tree));
  Json json{{"format", kFormat}, {"next_number", state.next_number}, {"trees", std::move(trees)}};
  if (state.previous) json["previous"] = *state.previous;
  if (state.intent) {
    json["intent"] = {{"to", state.intent->to}};
    if (state.intent->from) json["intent"]["from"] = *state.intent->from;
  }
  return json.dump(2) + "\n";
}

Result<PlaceState> decode_state(std::string_view bytes) {
  SEGUE_ASSIGN(const Json json, tuf::parse_json(bytes));
  if (!json.is_object()) return fail(ErrorCode::data_loss, "the state is no object");
  SEGUE_ASSIGN(const std::uint64_t format, number_at(json, "format"));
  if (format != kFormat) {
    return fail(ErrorCode::data_loss, "the state has format {}, and only {} is understood", format,
                kFormat);
  }
  PlaceState state;
  SEGUE_ASSIGN(state.next_number, number_at(json, "next_number"));
  const auto trees = json.find("trees");
  if (trees == json.end() || !trees->is_array() || trees->size() > kMaxTrees) {
    return fail(ErrorCode::data_loss, "'trees' is missing, is no list, or is too long");
  }
  for (const Json& each : *trees) {
    SEGUE_ASSIGN(TreeRecord tree, tree_from(each));
    if (tree.number >= state.next_number || state.find(tree.number) != nullptr) {
      return fail(ErrorCode::data_loss, "tree {} stands twice, or was never given", tree.number);
    }
    state.trees.push_back(std::move(tree));
  }
  if (json.contains("previous")) {
    SEGUE_ASSIGN(state.previous, number_at(json, "previous"));
  }
  if (const auto intent = json.find("intent"); intent != json.end()) {
    if (!intent->is_object()) return fail(ErrorCode::data_loss, "'intent' is no object");
    state.intent.emplace();
    SEGUE_ASSIGN(state.intent->to, number_at(*intent, "to"));
    if (intent->contains("from")) {
      SEGUE_ASSIGN(state.intent->from, number_at(*intent, "from"));
    }
  }
  return state;
}

}  // namespace segue::staging
