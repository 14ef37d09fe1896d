// SPDX-License-Identifier: Apache-2.0
#include "agent/instance_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <system_error>

#include "os/unique_fd.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::kMaxLogBytes;
using fleet::kMaxLogLineBytes;
using fleet::kMaxLogLines;

constexpr std::string_view kHead = "output.";
constexpr std::string_view kTail = ".log";
constexpr std::size_t kMaxFiles = 16;  // a keeper keeps fewer

using Generation = std::uint64_t;
using Places = std::map<Generation, std::uint64_t>;  // how far each file was read

template <class T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// GENERATION:BYTES, separated by commas
Result<Places> parse_places(std::string_view text) {
  Places places;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view one = rest.substr(0, end);
    const std::size_t colon = std::min(one.find(':'), one.size());
    Generation generation = 0;
    std::uint64_t bytes = 0;
    if (!read_number(one.substr(0, colon), generation) || colon == one.size() ||
        !read_number(one.substr(colon + 1), bytes) || places.size() == kMaxFiles) {
      return fail(ErrorCode::invalid_argument, "'{}' is no place in logs", text.substr(0, 100));
    }
    places[generation] = bytes;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return places;
}

std::string place_text(const Places& places) {
  std::string text;
  for (const auto& [generation, bytes] : places) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", generation, bytes);
  }
  return text;
}

struct OpenLog {
  os::UniqueFd file;
  std::uint64_t size = 0;
};

class Logs {
 public:
  explicit Logs(std::string directory) : directory_(std::move(directory)) {}

  Result<void> open() {
    std::error_code error;
    std::vector<Generation> generations;
    for (std::filesystem::directory_iterator entry(directory_, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      Generation generation = 0;
      if (name.size() > kHead.size() + kTail.size() && name.starts_with(kHead) &&
          name.ends_with(kTail) &&
          read_number(std::string_view(name).substr(kHead.size(),
                                                    name.size() - kHead.size() - kTail.size()),
                      generation)) {
        generations.push_back(generation);
      }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
      return fail(base::errno_error("read " + directory_, error.value()));
    }
    std::ranges::sort(generations);
    if (generations.size() > kMaxFiles) {
      generations.erase(generations.begin(), generations.end() - kMaxFiles);
    }
    for (const Generation generation : generations) open(generation);
    return {};
  }

  // The last lines, and what came before them in the newest files.
  fleet::LogsRead last(std::uint32_t wanted) {
    fleet::LogsRead read;
    Places places;
    std::size_t bytes_left = kMaxLogBytes;
    std::size_t lines_left = std::min(wanted, kMaxLogLines);
    for (const auto& [generation, log] : std::ranges::reverse_view(logs_)) {
      places[generation] = log.size;
      const std::uint64_t begin = log.size - std::min<std::uint64_t>(log.size, bytes_left);
      const std::string bytes = piece(log, begin, bytes_left);
      std::string_view text = bytes;
      if (begin != 0) text.remove_prefix(std::min(text.find('\n') + 1, text.size()));
      LogPiece cut = cut_lines(text, is_final(generation), bytes.size());
      if (!is_final(generation)) places[generation] -= text.size() - cut.used;
      const std::size_t count = std::min(lines_left, cut.lines.size());
      std::vector<fleet::LogLine> before;
      for (auto& line : std::span(cut.lines).last(count)) {
        before.push_back({generation, std::move(line)});
      }
      read.lines.insert(read.lines.begin(), std::make_move_iterator(before.begin()),
                        std::make_move_iterator(before.end()));
      lines_left -= count;
      bytes_left -= bytes.size();
    }
    read.at = place_text(places);
    return read;
  }

  fleet::LogsRead after(const Places& known) {
    fleet::LogsRead read;
    Places places;
    std::size_t bytes_left = kMaxLogBytes;
    for (const auto& [generation, log] : logs_) {
      const auto found = known.find(generation);
      std::uint64_t place = found == known.end() ? 0 : found->second;
      if (place > log.size) place = 0;  // at its bound it began anew
      const std::string bytes = piece(log, place, bytes_left);
      const bool is_all = place + bytes.size() == log.size;
      LogPiece cut =
          cut_lines(bytes, is_all && is_final(generation), kMaxLogLines - read.lines.size());
      for (auto& line : cut.lines) read.lines.push_back({generation, std::move(line)});
      places[generation] = place + cut.used;
      bytes_left -= cut.used;
      read.more = read.more || !is_all || read.lines.size() == kMaxLogLines;
    }
    read.at = place_text(places);
    return read;
  }

 private:
  void open(Generation generation) {
    const std::string path = fmt::format("{}/{}{}{}", directory_, kHead, generation, kTail);
    os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    logs_[generation] = {std::move(file), static_cast<std::uint64_t>(status.st_size)};
  }

  // Nothing more is expected in the files of older generations.
  [[nodiscard]] bool is_final(Generation generation) const {
    return generation != logs_.rbegin()->first;
  }

  static std::string piece(const OpenLog& log, std::uint64_t from, std::size_t max) {
    std::string bytes(std::min<std::uint64_t>(log.size - from, max), '\0');
    std::size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t size = ::pread(log.file.get(), bytes.data() + have, bytes.size() - have,
                                   static_cast<off_t>(from + have));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) break;
      have += static_cast<std::size_t>(size);
    }
    bytes.resize(have);
    return bytes;
  }

  std::string directory_;
  std::map<Generation, OpenLog> logs_;
};

}  // namespace

LogPiece cut_lines(std::string_view bytes, bool is_final, std::size_t max) {
  LogPiece piece;
  while (piece.used < bytes.size() && piece.lines.size() < max) {
    const std::string_view rest = bytes.substr(piece.used);
    const std::size_t end = rest.find('\n');
    const bool is_long = std::min(end, rest.size()) > kMaxLogLineBytes;
    if (end == std::string_view::npos && !is_long && !is_final) break;
    const std::size_t size = is_long ? kMaxLogLineBytes : std::min(end, rest.size());
    std::string_view line = rest.substr(0, size);
    piece.used += size + (!is_long && size < rest.size() ? 1 : 0);
    if (!is_long && line.ends_with('\r')) line.remove_suffix(1);
    piece.lines.emplace_back(line);
  }
  return piece;
}

fleet::LogsRead read_instance_logs(const std::string& directory, const std::string& from,
                                   std::uint32_t lines) {
  Logs logs(directory);
  const auto opened = logs.open();
  if (!opened) return {.lines = {}, .at = from, .trouble = opened.error().message()};
  if (from.empty()) return logs.last(lines);
  const auto places = parse_places(from);
  if (!places) return {.lines = {}, .at = "", .trouble = places.error().message()};
  return logs.after(*places);
}

}  // namespace segue::agent
