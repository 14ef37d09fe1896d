// SPDX-License-Identifier: Apache-2.0
// What an engine answers, read. Docker and Podman say some things differently: it is all known
// here. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/engine.h"

namespace segue::runtime {

// A version of the API, "1.41".
struct ApiVersion {
  int major = 1;
  int minor = 41;
  friend auto operator<=>(const ApiVersion&, const ApiVersion&) = default;
};
inline constexpr ApiVersion kOldestApi{1, 41};
inline constexpr ApiVersion kNewestApi{1, 51};

// What the header of an answer to GET /_ping says of the engine; `fields` by names in lower case.
// GET /version says more, but Podman asks the package manager eight times before it answers that:
// more than half a second of a processor at the start of each container.
base::Result<EngineVersion> parse_ping(const std::map<std::string, std::string>& fields);
base::Result<Image> parse_image(std::string_view body);
base::Result<std::vector<Image>> parse_images(std::string_view body);
base::Result<std::string> parse_created(std::string_view body);  // an id
base::Result<ContainerState> parse_container(std::string_view body);
base::Result<std::vector<ContainerSummary>> parse_containers(std::string_view body);
base::Result<int> parse_wait(std::string_view body);
base::Result<ContainerStats> parse_stats(std::string_view body);
base::Result<ContainerEvent> parse_event(std::string_view line);

struct ExecState {
  bool is_running = false;
  int exit_code = 0;
};
base::Result<ExecState> parse_exec(std::string_view body);

// Lines of JSON, from pieces of a stream.
class LineSplitter {
 public:
  static constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20;
  // resource_exhausted: a line does not end.
  base::Result<std::vector<std::string>> take(std::string_view bytes);
  // What is there after the last line's end.
  [[nodiscard]] std::string rest() && { return std::move(rest_); }

 private:
  std::string rest_;
};

// The lines that POST /images/load and POST /images/create answer.
class ImageStream {
 public:
  static constexpr std::size_t kMaxLayers = 1'024;
  static constexpr std::size_t kMaxLoaded = 1'024;
  // The error that a line tells of, or how far it is.
  base::Result<Progress> take_line(std::string_view line);
  [[nodiscard]] const std::vector<std::string>& loaded() const { return loaded_; }

 private:
  struct Layer {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
  };
  void note_loaded(std::string_view text);

  std::map<std::string, Layer> layers_;
  std::vector<std::string> loaded_;
};

// What was asked, for the error's text: "start", "container 'web-1'".
struct Question {
  std::string verb;
  std::string object;
  enum class About { engine, image, registry, container } about = About::engine;
};
// Of an answer that is not the good one.
base::Error refusal(const Question& question, int status, std::string_view body);

}  // namespace segue::runtime
