// SPDX-License-Identifier: Apache-2.0
// bench_delta OLD NEW [--explain]: makes the delta between two directories, applies it in a process
// of its own, and prints one JSON object per figure, as scripts/bench does. Nothing is written but
// the delta, to a temporary file.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "delta/delta.h"

namespace {

namespace fs = std::filesystem;
namespace delta = segue::delta;
using segue::base::ErrorCode;
using segue::base::fail;
using segue::base::Result;

class MappedFile final : public delta::FileBytes {
 public:
  explicit MappedFile(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd >= 0 && ::fstat(fd, &status) == 0 && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      at_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) ::close(fd);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() override {
    if (size_ > 0) ::munmap(at_, size_);
  }
  [[nodiscard]] delta::ByteView bytes() const override {
    return {static_cast<const std::uint8_t*>(at_), size_};
  }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

struct Tree final : public delta::TreeReader {
  fs::path folder;
  delta::Manifest manifest;

  Result<std::unique_ptr<delta::FileBytes>> open(std::size_t entry) override {
    return std::make_unique<MappedFile>(folder / manifest.entries[entry].path);
  }
};

Tree scan(const fs::path& folder) {
  std::vector<delta::Entry> entries(1);
  entries[0].type = delta::EntryType::directory;
  entries[0].mode = 0755;
  for (const auto& found : fs::recursive_directory_iterator(folder)) {
    delta::Entry entry;
    entry.path = found.path().lexically_relative(folder).string();
    struct stat status{};
    if (::lstat(found.path().c_str(), &status) != 0) continue;
    entry.mode = static_cast<std::uint16_t>(status.st_mode & 07777);
    if (found.is_symlink()) {
      entry.type = delta::EntryType::symlink;
      entry.link_target = fs::read_symlink(found.path()).string();
    } else if (found.is_directory()) {
      entry.type = delta::EntryType::directory;
    } else {
      const MappedFile file(found.path());
      entry.size_bytes = file.bytes().size();
      entry.content = delta::digest_of(file.bytes());
    }
    entries.push_back(std::move(entry));
  }
  Tree tree;
  tree.folder = folder;
  auto manifest = delta::make_manifest(std::move(entries));
  if (!manifest) {
    std::fprintf(stderr, "%s\n", manifest.error().to_string().c_str());
    std::exit(1);
  }
  tree.manifest = std::move(*manifest);
  return tree;
}

double cpu_seconds(int who) {
  struct rusage usage{};
  ::getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

long anonymous_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtol(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

// Counts what would be written, and looks at the anonymous memory now and then.
class PeakWriter final : public delta::TreeWriter {
 public:
  std::uint64_t bytes = 0;
  long peak_kib = 0;
  Result<void> begin(const delta::Manifest&) override { return sample(); }
  Result<void> reuse(std::size_t, std::size_t) override { return {}; }
  Result<void> repeat(std::size_t, std::size_t) override { return {}; }
  Result<void> begin_file(std::size_t) override { return {}; }
  Result<void> write(delta::ByteView piece) override {
    bytes += piece.size();
    return ++writes_ % 64 == 0 ? sample() : Result<void>();
  }
  Result<void> end_file(std::size_t, const delta::Digest&) override { return sample(); }

 private:
  Result<void> sample() {
    peak_kib = std::max(peak_kib, anonymous_kib());
    return {};
  }
  std::uint64_t writes_ = 0;
};

void figure(const std::string& name, std::string_view metric, double value, std::string_view unit) {
  segue::base::JsonWriter json;
  json.begin_object().field("bench", "delta").field("case", name).field("metric", metric);
  json.field("value", value).field("unit", unit).key("peer").null().end();
  std::puts(std::move(json).take().c_str());
}

std::uint64_t tree_bytes(const delta::Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const delta::Entry& entry : manifest.entries) bytes += entry.size_bytes;
  return bytes;
}

// In a process of its own: bench_delta --apply DELTA OLD NEW.
int apply(const fs::path& file, const fs::path& old_folder, const fs::path& new_folder,
          const std::string& name) {
  Tree base = scan(old_folder);
  const Tree target = scan(new_folder);
  const delta::Digest root = delta::root_of(target.manifest);
  const MappedFile bytes(file);
  const long before_kib = anonymous_kib();
  const double before = cpu_seconds(RUSAGE_SELF);
  PeakWriter writer;
  const auto result = delta::apply_delta(bytes.bytes(), base.manifest, base, root,
                                         {tree_bytes(target.manifest)}, writer);
  const double seconds = cpu_seconds(RUSAGE_SELF) - before;
  if (!result) {
    std::fprintf(stderr, "apply: %s\n", result.error().to_string().c_str());
    return 1;
  }
  figure(name, "apply_cpu_s", seconds, "s");
  figure(name, "apply_mib_per_s", static_cast<double>(writer.bytes) / 1048576 / seconds, "MiB/s");
  figure(name, "apply_rss_anon_mib", static_cast<double>(writer.peak_kib - before_kib) / 1024,
         "MiB");
  return 0;
}

void explain(const delta::MakeReport& report, const Tree& target) {
  std::fprintf(stderr, "manifest %zu bytes, bulk %zu bytes\n",
               static_cast<std::size_t>(report.manifest_bytes),
               static_cast<std::size_t>(report.bulk_bytes));
  for (const delta::FileReport& file : report.files) {
    std::fprintf(stderr, "%8zu bytes %7zu operations %8zu literal%s %4zu repacked %s\n",
                 static_cast<std::size_t>(file.coded_bytes),
                 static_cast<std::size_t>(file.operations),
                 static_cast<std::size_t>(file.literal_bytes), file.in_bulk ? " (bulk)" : "",
                 static_cast<std::size_t>(file.repacked_members),
                 target.manifest.entries[file.target_entry].path.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: bench_delta OLD NEW [--explain]\n", stderr);
    return 2;
  }
  const auto name_of = [](const char* old_folder, const char* new_folder) {
    return fs::path(old_folder).filename().string() + ".." +
           fs::path(new_folder).filename().string();
  };
  if (argc == 5 && std::string_view(argv[1]) == "--apply") {
    return apply(argv[2], argv[3], argv[4], name_of(argv[3], argv[4]));
  }
  Tree base = scan(argv[1]);
  Tree target = scan(argv[2]);
  const std::string name = name_of(argv[1], argv[2]);

  const double before_make = cpu_seconds(RUSAGE_SELF);
  delta::MakeReport report;
  const auto made = delta::make_delta(base.manifest, base, target.manifest, target, &report);
  if (!made) {
    std::fprintf(stderr, "make: %s\n", made.error().to_string().c_str());
    return 1;
  }
  figure(name, "bytes", static_cast<double>(made->size()), "B");
  figure(name, "make_cpu_s", cpu_seconds(RUSAGE_SELF) - before_make, "s");
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  figure(name, "make_peak_mib", static_cast<double>(usage.ru_maxrss) / 1024, "MiB");
  if (argc > 3 && std::string_view(argv[3]) == "--explain") explain(report, target);

  const fs::path file = fs::temp_directory_path() / fmt::format("bench_delta.{}", ::getpid());
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(made->data()),
             static_cast<std::streamsize>(made->size()));
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/proc/self/exe", "bench_delta", "--apply", file.c_str(), argv[1], argv[2], nullptr);
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) status = 1;
  fs::remove(file);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
