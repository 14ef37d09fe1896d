// SPDX-License-Identifier: Apache-2.0
#include "builder/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "crypto/digest.h"
#include "os/files.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMaxRefsBytes = std::size_t{8} << 20;
constexpr std::size_t kNameDigits = 24;

Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename().string());
  }
  if (error) return fail(base::errno_error("list " + folder, error.value()));
  std::ranges::sort(names);
  return names;
}

Result<void> remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return fail(base::errno_error("remove " + path, error.value()));
  return {};
}

// A build may have made folders that nobody may enter.
Result<void> remove_work_tree(const std::string& path) {
  if (remove_tree(path)) return {};
  std::error_code ignored;
  fs::recursive_directory_iterator entries(path, fs::directory_options::skip_permission_denied,
                                           ignored);
  for (; !ignored && entries != fs::recursive_directory_iterator(); entries.increment(ignored)) {
    std::error_code of_this;
    if (entries->symlink_status(of_this).type() != fs::file_type::directory) continue;
    fs::permissions(entries->path(), fs::perms::owner_all, fs::perm_options::add, of_this);
  }
  return remove_tree(path);
}

std::optional<std::uint64_t> id_of(const std::string& name) {
  std::uint64_t id = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (problem != std::errc() || end != name.data() + name.size() || id == 0) return std::nullopt;
  return id;
}

// A git that was killed leaves locks; nobody else works in a mirror.
void remove_git_locks(const std::string& mirror) {
  std::error_code ignored;
  fs::recursive_directory_iterator entries(mirror, ignored);
  std::vector<fs::path> locks;
  for (; !ignored && entries != fs::recursive_directory_iterator(); entries.increment(ignored)) {
    if (entries->path().extension() == ".lock") locks.push_back(entries->path());
  }
  for (const auto& lock : locks) fs::remove(lock, ignored);
}

}  // namespace

Result<void> Store::open() {
  SEGUE_TRY(os::ensure_private_directory(folder_));
  const std::string path = folder_ + "/builder.lock";
  lock_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_) return fail(base::errno_error("open " + path, errno));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::failed_precondition,
                "a builder works in {} already: end it first, or name another folder with --state",
                folder_);
  }
  for (const char* name : {"/spool", "/repositories", "/builds", "/work"}) {
    SEGUE_TRY(os::ensure_private_directory(folder_ + name));
  }
  SEGUE_ASSIGN(const auto repositories, names_in(folder_ + "/repositories"));
  for (const auto& name : repositories) remove_git_locks(mirror(name));
  return {};
}

Result<void> Store::clear_work() const {
  SEGUE_ASSIGN(const auto names, names_in(folder_ + "/work"));
  for (const auto& name : names) {
    before_change_();
    SEGUE_TRY(remove_work_tree(folder_ + "/work/" + name));
  }
  return {};
}

std::string Store::build_folder(std::uint64_t id) const {
  return fmt::format("{}/builds/{:08}", folder_, id);
}

std::string Store::mirror(const std::string& repository) const {
  return folder_ + "/repositories/" + repository + "/mirror.git";
}

std::string Store::work(std::uint64_t id) const {
  return fmt::format("{}/work/{:08}", folder_, id);
}

std::string Store::log(std::uint64_t id) const {
  return build_folder(id) + "/log";
}

Result<std::vector<Record>> Store::records(std::vector<std::string>& damaged) const {
  std::vector<Record> records;
  SEGUE_ASSIGN(const auto names, names_in(folder_ + "/builds"));
  for (const auto& name : names) {
    const std::string path = folder_ + "/builds/" + name + "/record.json";
    const auto bytes = os::read_file(path, kMaxRecordBytes);
    if (!bytes && bytes.error().code() == ErrorCode::not_found) continue;  // killed before its save
    auto record = bytes ? parse_record(*bytes) : fail(bytes.error());
    if (record && record->id == id_of(name)) {
      records.push_back(*std::move(record));
    } else {
      damaged.push_back(path + ": " + (record ? "it is another one's" : record.error().message()));
    }
  }
  return records;
}

Result<void> Store::save(const Record& record) const {
  before_change_();
  SEGUE_TRY(os::ensure_private_directory(build_folder(record.id)));
  return os::write_file_atomically(build_folder(record.id) + "/record.json", encode(record));
}

Result<void> Store::forget(std::uint64_t id) const {
  before_change_();
  return remove_tree(build_folder(id));
}

Result<void> Store::add_repository(const std::string& repository) const {
  return os::ensure_private_directory(folder_ + "/repositories/" + repository);
}

Result<RefsSeen> Store::refs_seen(const std::string& repository) const {
  RefsSeen seen;
  const std::string path = folder_ + "/repositories/" + repository + "/refs.json";
  const auto bytes = os::read_file(path, kMaxRefsBytes);
  if (!bytes && bytes.error().code() == ErrorCode::not_found) return seen;
  if (!bytes) return fail(bytes.error());
  try {
    const Json object = Json::parse(*bytes);
    seen.waiting = object.at("waiting").get<std::uint64_t>();
    seen.error = object.at("error").get<std::string>();
    for (const auto& [ref, commit] : object.at("refs").items()) {
      seen.commits[ref] = commit.get<std::string>();
    }
  } catch (const Json::exception& error) {
    return fail(ErrorCode::data_loss,
                "{} is damaged ({}): remove it, and the commits that the refs name now are built",
                path, error.what());
  }
  return seen;
}

Result<void> Store::save(const std::string& repository, const RefsSeen& seen) const {
  before_change_();
  SEGUE_TRY(add_repository(repository));
  const std::string folder = folder_ + "/repositories/" + repository;
  Json refs = Json::object();
  for (const auto& [ref, commit] : seen.commits) refs[ref] = commit;
  const Json object = {{"refs", refs}, {"waiting", seen.waiting}, {"error", seen.error}};
  return os::write_file_atomically(
      folder + "/refs.json", object.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Result<std::vector<Store::Spooled>> Store::spooled() const {
  // By the time of the rename into the folder: names say nothing of the order.
  std::vector<std::pair<fs::file_time_type, std::string>> files;
  SEGUE_ASSIGN(const auto names, names_in(spool_folder()));
  for (const auto& name : names) {
    if (name.find('.') != name.npos) continue;  // is being written
    std::error_code error;
    const auto time = fs::last_write_time(spool_folder() + "/" + name, error);
    if (!error) files.emplace_back(time, name);
  }
  std::ranges::sort(files);
  if (files.size() > kMaxSpooled) files.resize(kMaxSpooled);
  std::vector<Spooled> spooled;
  for (const auto& [time, name] : files) {
    const auto bytes = os::read_file(spool_folder() + "/" + name, kMaxNoticeBytes);
    if (!bytes && bytes.error().code() == ErrorCode::not_found) continue;
    spooled.push_back({name, bytes ? parse_notice(*bytes) : fail(bytes.error())});
  }
  return spooled;
}

Result<void> Store::spool(const Notice& notice) const {
  SEGUE_TRY(check(notice));
  SEGUE_TRY(os::ensure_private_directory(folder_));
  SEGUE_TRY(os::ensure_private_directory(spool_folder()));
  const std::string text = encode(notice);
  const std::string digest = crypto::to_hex(crypto::digest_of(text)).substr(0, kNameDigits);
  SEGUE_ASSIGN(const auto names, names_in(spool_folder()));
  // Of a commit once is enough; "look there" is for what happened before it, so it comes anew.
  const bool is_there = std::ranges::any_of(names, [&](const std::string& name) {
    return name.starts_with(digest) && name.find('.') == name.npos;
  });
  if (is_there && !notice.commit.empty()) return {};
  if (names.size() >= kMaxSpooled) {
    return fail(ErrorCode::resource_exhausted,
                "{} notices wait in {} already: start the builder with `segue build run`, then "
                "notify it again (it finds by itself what its repositories' refs name)",
                kMaxSpooled, spool_folder());
  }
  before_change_();
  static std::atomic<unsigned> counter = 0;
  return os::write_file_atomically(
      fmt::format("{}/{}-{}-{}", spool_folder(), digest, ::getpid(), counter++), text);
}

Result<void> Store::unspool(const std::string& file) const {
  before_change_();
  const std::string path = spool_folder() + "/" + file;
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail(base::errno_error("remove " + path, errno));
}

Result<std::string> Store::make_work(std::uint64_t id) const {
  SEGUE_TRY(remove_work(id));
  const std::string folder = work(id);
  for (const char* name : {"", "/home", "/tmp"}) {
    SEGUE_TRY(os::ensure_private_directory(folder + name));
  }
  return folder;
}

Result<void> Store::remove_work(std::uint64_t id) const {
  before_change_();
  return remove_work_tree(work(id));
}

}  // namespace segue::builder
