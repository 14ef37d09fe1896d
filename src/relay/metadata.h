// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "os/clock.h"
#include "relay/cache.h"
#include "relay/upstream.h"

namespace segue::relay {

// Where a piece of metadata is asked for, in this order.
struct MetadataSource {
  SourceUrl url;
  bool is_origin = false;  // over the line
};

// The library's metadata: what has a version in its name never changes; the timestamp, and a name
// that there is not, are asked for again soon. Nothing is verified here: whoever uses it does that.
// While nobody can be asked, the last that was good is served. One thread.
class Metadata {
 public:
  // Above what a host takes (tuf::ClientLimits).
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{8} << 20;
  static constexpr std::size_t kMaxUnderWay = 64;
  static constexpr std::size_t kMaxNames = 10'000;
  // From another relay it may be wrong for ever: it is asked for again after this.
  static constexpr base::Duration kUnsureAge = std::chrono::seconds(30);
  static constexpr base::Duration kLimit = std::chrono::seconds(15);

  struct Settings {
    base::Duration max_age = std::chrono::seconds(2);
    std::string relay_field;
    std::function<std::vector<MetadataSource>(bool is_fresh)> sources;
    std::function<void(std::uint64_t bytes)> on_line_bytes;
  };
  // All outlive it.
  Metadata(boost::asio::io_context& context, const os::Clock& clock, const base::Log& log,
           Upstreams& upstreams, Cache& cache, Settings settings);
  ~Metadata();
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  struct Answer {
    unsigned status = 200;  // 404: there is none; 502: nobody can be asked; 503: too many ask
    std::shared_ptr<const std::string> bytes;
  };
  using OnAnswer = std::function<void(const Answer&)>;
  // `is_fresh`: from the origin, whatever is here. Calls back once, from the loop.
  void get(const std::string& name, bool is_immutable, bool is_fresh, OnAnswer on_answer);

 private:
  struct Known {
    bool is_absent = false;
    bool is_sure = false;  // from the origin
    base::MonotonicTime at{};
    std::string tag;
  };
  struct Fetch;

  [[nodiscard]] bool is_current(const Known& known, bool is_immutable, bool is_fresh) const;
  void ask(const std::shared_ptr<Fetch>& fetch);
  void answered(const std::shared_ptr<Fetch>& fetch, base::Result<UpstreamAnswer> answer);
  void read(const std::shared_ptr<Fetch>& fetch);
  void next_source(const std::shared_ptr<Fetch>& fetch, const std::string& why);
  void arrived(const std::shared_ptr<Fetch>& fetch);
  void remember(const Fetch& fetch, bool is_absent);
  void finish(const std::shared_ptr<Fetch>& fetch, const Answer& answer);
  [[nodiscard]] Answer from_disk(const std::string& name) const;

  boost::asio::io_context& context_;
  const os::Clock& clock_;
  const base::Log& log_;
  Upstreams& upstreams_;
  Cache& cache_;
  Settings settings_;
  std::map<std::string, Known> known_;
  std::map<std::pair<std::string, bool>, std::shared_ptr<Fetch>> under_way_;
};

}  // namespace segue::relay
