// SPDX-License-Identifier: Apache-2.0
// segue audit: what was done by whom, and whether the log that says so is whole.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/server_client.h"
#include "fleet/audit.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "store/location.h"
#include "store/loop_scheduler.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr auto kStoreLimit = std::chrono::seconds(60);
// The newest entries may not be stored yet when the server names them.
constexpr int kPauseMs = 250;
constexpr int kMaxPauses = 40;

struct Head {
  std::uint64_t number = 0;
  std::string digest;
};
struct Lines {
  std::vector<std::string> lines;
  bool more = false;
};

// Where the log is read from.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  // What the log's end has to be, at least.
  virtual Result<Head> head() = 0;
  virtual Result<Lines> after(std::uint64_t number) = 0;
};

class ServerSource final : public Source {
 public:
  explicit ServerSource(ServerClient server) : server_(std::move(server)) {}

  Result<Head> head() override {
    SEGUE_ASSIGN(const Json status, server_.ask("GET", "/v1/status"));
    return Head{status.value("audit_entries", std::uint64_t{0}), text_of(status, "audit_digest")};
  }
  Result<Lines> after(std::uint64_t number) override {
    SEGUE_ASSIGN(const Json page, server_.ask("GET", fmt::format("/v1/audit?after={}", number)));
    Lines lines{.lines = {}, .more = page.value("more", false)};
    for (const auto& line : page.value("lines", Json::array())) {
      if (line.is_string()) lines.lines.push_back(line.get<std::string>());
    }
    return lines;
  }

 private:
  ServerClient server_;
};

class StoreSource final : public Source {
 public:
  static Result<std::unique_ptr<Source>> open(const std::string& where) {
    SEGUE_ASSIGN(const auto location, store::parse_location(where));
    if (const auto* sqlite = std::get_if<store::SqliteLocation>(&location);
        sqlite != nullptr && ::access((sqlite->directory + "/store.db").c_str(), R_OK) != 0) {
      return fail(ErrorCode::not_found, "there is no store in {}", sqlite->directory);
    }
    auto source = std::unique_ptr<StoreSource>(new StoreSource);
    SEGUE_ASSIGN(auto loop, os::EpollLoop::create(source->clock_));
    source->loop_.emplace(std::move(loop));
    SEGUE_ASSIGN(source->scheduler_, store::LoopScheduler::create(*source->loop_, source->clock_));
    SEGUE_ASSIGN(source->store_,
                 store::open_store(location, *source->scheduler_, *source->loop_, source->clock_));
    return source;
  }

  Result<Head> head() override {
    SEGUE_ASSIGN(const auto reading,
                 wait<store::Reading>([&](auto give) { store_->get("audit_head", give); }));
    if (!reading.entry) return fail(ErrorCode::not_found, "the store holds no audit log");
    const Json head = Json::parse(reading.entry->value, nullptr, false);
    if (!head.is_object()) return fail(ErrorCode::data_loss, "the log's end is damaged");
    return Head{head.value("number", std::uint64_t{0}), text_of(head, "digest")};
  }
  Result<Lines> after(std::uint64_t number) override {
    SEGUE_ASSIGN(const auto page, wait<store::Page>([&](auto give) {
                   store_->list({.prefix = "audit/", .after = fmt::format("audit/{:020}", number)},
                                give);
                 }));
    Lines lines{.lines = {}, .more = page.has_more};
    for (const auto& entry : page.entries) lines.lines.push_back(entry.value);
    return lines;
  }

 private:
  StoreSource() = default;

  template <class T, class Ask>
  Result<T> wait(const Ask& ask) {
    auto answer = std::make_shared<std::optional<Result<T>>>();
    ask([answer](Result<T> result) { *answer = std::move(result); });
    const auto deadline = clock_.monotonic_now() + kStoreLimit;
    while (!answer->has_value()) {
      if (clock_.monotonic_now() > deadline) {
        return fail(ErrorCode::deadline_exceeded, "{} does not answer", store_->name());
      }
      SEGUE_TRY(loop_->run_once(std::chrono::milliseconds(200)));
    }
    return **std::move(answer);
  }

  os::SystemClock clock_;
  std::optional<os::EpollLoop> loop_;
  std::unique_ptr<store::LoopScheduler> scheduler_;
  std::unique_ptr<store::Store> store_;
};

Result<std::unique_ptr<Source>> open_source(const FleetOptions& options) {
  if (!options.store.empty()) return StoreSource::open(options.store);
  SEGUE_ASSIGN(auto server, ServerClient::open(options));
  return std::unique_ptr<Source>(std::make_unique<ServerSource>(std::move(server)));
}

std::string entry_text(const fleet::AuditEntry& entry) {
  return fmt::format("{:>6}  {}  {:<12} {:<16} {} {}", entry.number, time_text(entry.time_ms),
                     entry.by, entry.action, entry.object, entry.text);
}

ExitCode list(Output& output, Source& source, std::uint32_t count) {
  const auto head = source.head();
  if (!head) return output.fail(head.error());
  std::uint64_t number = count == 0 || head->number < count ? 0 : head->number - count;
  for (bool more = true; more;) {
    const auto page = source.after(number);
    if (!page) return output.fail(page.error());
    for (const auto& line : page->lines) {
      const auto entry = fleet::read_audit_entry(line);
      if (!entry) return output.fail(entry.error().with(fmt::format("entry {}", number + 1)));
      number = entry->number;
      output.print(entry_text(*entry));
      output.print_json(Json::parse(line));
    }
    more = page->more && !page->lines.empty();
  }
  return ExitCode::done;
}

// What was found out, as far as it was read.
struct Finding {
  fleet::AuditVerifier verifier;
  std::optional<std::uint64_t> expected_at;  // the entry whose digest was written down
};

// not_found: the log ends before `head`.
Result<void> read_log(Source& source, const Head& head, const std::string& expect,
                      Finding& finding) {
  fleet::AuditVerifier& verifier = finding.verifier;
  int pauses = 0;
  while (true) {
    SEGUE_ASSIGN(const Lines page, source.after(verifier.count()));
    for (const auto& line : page.lines) {
      SEGUE_TRY(verifier.take(line));
      if (verifier.digest() == expect) finding.expected_at = verifier.count();
      if (verifier.count() == head.number && verifier.digest() != head.digest) {
        return fail(ErrorCode::data_loss,
                    "entry {} is not the one that the server wrote: its digest is {} instead of {}",
                    head.number, verifier.digest(), head.digest);
      }
    }
    if (page.more && !page.lines.empty()) continue;
    if (verifier.count() >= head.number) return {};
    if (++pauses > kMaxPauses) {
      return fail(ErrorCode::data_loss, "the log ends with entry {}, and {} were written",
                  verifier.count(), head.number);
    }
    (void)::poll(nullptr, 0, kPauseMs);
  }
}

ExitCode verify(Output& output, Source& source, const std::string& expect) {
  const auto head = source.head();
  if (!head) return output.fail(head.error());
  Finding finding;
  Result<void> whole = read_log(source, *head, expect, finding);
  if (!whole && whole.error().code() != ErrorCode::data_loss) return output.fail(whole.error());
  if (whole && !expect.empty() && !finding.expected_at) {
    whole = fail(ErrorCode::data_loss,
                 "no entry has the digest {}: the log was written anew, or it is another fleet's",
                 expect);
  }
  const std::string digest = finding.verifier.digest();
  Json answer{{"done", whole.has_value()},
              {"exit", whole ? 0 : 1},
              {"whole", whole.has_value()},
              {"entries", finding.verifier.count()},
              {"digest", digest}};
  if (finding.expected_at) answer["expected_at"] = *finding.expected_at;
  answer["text"] =
      whole ? fmt::format(
                  "{} entries, each with the digest of the one before it; the newest "
                  "digest is {}{}",
                  finding.verifier.count(), digest,
                  finding.expected_at && *finding.expected_at != finding.verifier.count()
                      ? fmt::format(", the one expected is that of entry {}", *finding.expected_at)
                      : "")
            : fmt::format("the audit log is not what was written: {}", whole.error().message());
  if (output.json()) return output.finish(answer);
  return output.finish(whole ? ExitCode::done : ExitCode::failed,
                       answer["text"].get<std::string>());
}

}  // namespace

ExitCode audit(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto source = open_source(options);
  if (!source) return output.fail(source.error());
  if (context.arguments.command == Command::audit_list) {
    return list(output, **source, options.count);
  }
  return verify(output, **source, options.expect);
}

}  // namespace segue::cli
