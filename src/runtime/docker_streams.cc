// SPDX-License-Identifier: Apache-2.0
// The calls of DockerEngine whose answers are streams.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "os/files.h"
#include "runtime/conversation.h"
#include "runtime/docker_engine.h"
#include "runtime/output_demultiplexer.h"
#include "runtime/registry_credentials.h"

namespace segue::runtime {
namespace {

using About = Question::About;
using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxCredentialsBytes = std::size_t{1} << 20;
constexpr auto kExecPause = std::chrono::milliseconds(20);

// What comes while an engine loads or pulls an image.
struct ImageWork {
  Question question;
  LineSplitter lines;
  ImageStream stream;
  OnProgress on_progress;
};

Result<void> take_image_lines(ImageWork& work, std::string_view bytes,
                              const std::function<bool()>& is_alive) {
  SEGUE_ASSIGN(const std::vector<std::string> lines, work.lines.take(bytes));
  for (const std::string& line : lines) {
    auto progress = work.stream.take_line(line);
    // Said in the middle of an answer of status 200.
    if (!progress && progress.error().code() == ErrorCode::internal) {
      return fail(refusal(work.question, 500, progress.error().message()));
    }
    SEGUE_TRY(progress);
    if (work.on_progress) work.on_progress(*progress);
    if (!is_alive()) break;
  }
  return {};
}

// A last line without its end, too.
Result<void> finish_image_lines(ImageWork& work) {
  const OnProgress on_progress = std::exchange(work.on_progress, nullptr);
  return take_image_lines(work, "\n", [] { return true; });
}

// NAME, and TAG or DIGEST: a pull without the second would be of all tags.
std::pair<std::string, std::string> split_reference(const std::string& reference) {
  if (const auto at = reference.find('@'); at != reference.npos) {
    return {reference.substr(0, at), reference.substr(at + 1)};
  }
  const auto slash = reference.rfind('/');
  const auto colon = reference.find(':', slash == reference.npos ? 0 : slash);
  if (colon == reference.npos) return {reference, "latest"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

Result<std::vector<std::string>> auth_fields(const PullRequest& request) {
  if (request.credentials_file.empty()) return std::vector<std::string>{};
  SEGUE_ASSIGN(const std::string file,
               os::read_file(request.credentials_file, kMaxCredentialsBytes));
  SEGUE_ASSIGN(const auto auth, registry_auth(file, registry_of(request.reference)));
  if (!auth) return std::vector<std::string>{};
  return std::vector<std::string>{"X-Registry-Auth: " + *auth};
}

Question about_container(std::string verb, const std::string& container) {
  return {std::move(verb), fmt::format("container '{}'", container), About::container};
}

}  // namespace

CallHandle DockerEngine::load_image(os::UniqueFd archive, base::Duration limit,
                                    OnProgress on_progress,
                                    OnAnswer<std::vector<std::string>> on_answer) {
  auto call = std::make_unique<Conversation>(line_);
  const Question question{"load", "an image", About::image};
  auto work = std::make_shared<ImageWork>(ImageWork{question, {}, {}, on_progress});
  ApiRequest request{.question = question,
                     .method = "POST",
                     .path = "/images/load",
                     .archive = std::move(archive),
                     .limit = limit};
  const auto on_end = [work, on_answer = std::move(on_answer)](Result<http::Answer> answer) {
    if (!answer) return on_answer(fail(std::move(answer).error()));
    if (auto finished = finish_image_lines(*work); !finished) {
      return on_answer(fail(std::move(finished).error().with("cannot load an image")));
    }
    if (work->stream.loaded().empty()) {
      return on_answer(fail(ErrorCode::data_loss,
                            "cannot load an image: the engine does not say that it loaded any"));
    }
    on_answer(work->stream.loaded());
  };
  const auto on_body = [work, is_alive = call->liveness()](std::string_view bytes) {
    return take_image_lines(*work, bytes, is_alive);
  };
  Conversation::OnSent on_sent;
  if (on_progress) {
    on_sent = [on_progress](std::uint64_t bytes) { on_progress({.done_bytes = bytes}); };
  }
  call->ask(std::move(request), on_end, on_body, on_sent);
  return call;
}

CallHandle DockerEngine::pull_image(const PullRequest& request, OnProgress on_progress,
                                    OnAnswer<Image> on_answer) {
  auto owned = std::make_unique<Conversation>(line_);
  Conversation* const call = owned.get();
  const Question question{"pull", fmt::format("image '{}'", request.reference), About::registry};
  auto fields = auth_fields(request);
  if (!fields) {
    call->refuse(question, std::move(fields).error(), [on_answer](Result<http::Answer> answer) {
      on_answer(fail(std::move(answer).error()));
    });
    return owned;
  }
  auto work = std::make_shared<ImageWork>(ImageWork{question, {}, {}, std::move(on_progress)});
  const auto [name, tag] = split_reference(request.reference);
  ApiRequest asked{.question = question,
                   .method = "POST",
                   .path = fmt::format("/images/create?fromImage={}&tag={}", percent_encoded(name),
                                       percent_encoded(tag)),
                   .fields = *std::move(fields),
                   .limit = request.limit};
  const auto on_image = [on_answer](Result<http::Answer> answer) {
    if (!answer) return on_answer(fail(std::move(answer).error()));
    on_answer(parse_image(answer->body));
  };
  const auto on_end = [call, work, on_answer, on_image,
                       reference = request.reference](Result<http::Answer> answer) {
    if (!answer) return on_answer(fail(std::move(answer).error()));
    if (auto finished = finish_image_lines(*work); !finished) {
      return on_answer(
          fail(std::move(finished).error().with(fmt::format("cannot pull image '{}'", reference))));
    }
    call->ask({.question = {"inspect", fmt::format("image '{}'", reference), About::image},
               .path = fmt::format("/images/{}/json", percent_encoded(reference)),
               .limit = call->line().options.answer_limit},
              on_image);
  };
  call->ask(std::move(asked), on_end, [work, is_alive = call->liveness()](std::string_view bytes) {
    return take_image_lines(*work, bytes, is_alive);
  });
  return owned;
}

CallHandle DockerEngine::read_logs(const std::string& container, const LogRequest& request,
                                   OnOutput on_output, OnAnswer<void> on_end) {
  auto call = std::make_unique<Conversation>(line_);
  ApiRequest asked{.question = about_container("read the output of", container),
                   .path = fmt::format("/containers/{}/logs?stdout=true&stderr=true&follow={}",
                                       percent_encoded(container), request.is_followed),
                   .limit = request.is_followed ? base::Duration(0) : line_->options.work_limit};
  if (request.since) asked.path += "&since=" + time_text(*request.since);
  if (request.last_lines) asked.path += fmt::format("&tail={}", *request.last_lines);
  auto frames = std::make_shared<OutputDemultiplexer>();
  const auto on_body = [frames, on_output = std::move(on_output),
                        is_alive = call->liveness()](std::string_view bytes) -> Result<void> {
    std::vector<OutputPiece> pieces;
    auto taken = frames->take(bytes, pieces);
    for (const OutputPiece& piece : pieces) {
      on_output(piece.stream, piece.bytes);
      if (!is_alive()) return {};
    }
    return taken;
  };
  call->ask(
      std::move(asked),
      [frames, on_end = std::move(on_end)](Result<http::Answer> answer) {
        if (!answer) return on_end(fail(std::move(answer).error()));
        on_end(frames->end());
      },
      on_body);
  return call;
}

namespace {

// Make the command, run it while its output comes, ask what became of it.
struct ExecWork : std::enable_shared_from_this<ExecWork> {
  Conversation* call = nullptr;
  Question question;
  ExecRequest request;
  base::MonotonicTime deadline{};
  std::string id;
  OutputDemultiplexer frames;
  ExecResult result;
  OnAnswer<ExecResult> on_answer;

  void fail_with(Error error) { on_answer(fail(std::move(error))); }

  [[nodiscard]] base::Duration left() const {
    return std::max(deadline - call->line().clock.monotonic_now(), base::Duration(1));
  }
  void make(const std::string& container);
  void run();
  Result<void> take_output(std::string_view bytes);
  void look();
  void looked(const http::Answer& answer);
};

void ExecWork::make(const std::string& container) {
  nlohmann::json body{{"AttachStdout", true}, {"AttachStderr", true}, {"Cmd", request.arguments}};
  if (!request.environment.empty()) body["Env"] = request.environment;
  if (!request.user.empty()) body["User"] = request.user;
  call->ask({.question = question,
             .method = "POST",
             .path = fmt::format("/containers/{}/exec", percent_encoded(container)),
             .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
             .limit = left()},
            [self = shared_from_this()](Result<http::Answer> answer) {
              if (!answer) return self->fail_with(std::move(answer).error());
              auto made = parse_created(answer->body);
              if (!made) return self->fail_with(std::move(made).error());
              self->id = *std::move(made);
              self->run();
            });
}

void ExecWork::run() {
  call->ask(
      {.question = question,
       .method = "POST",
       .path = fmt::format("/exec/{}/start", percent_encoded(id)),
       .body = R"({"Detach":false,"Tty":false})",
       .limit = left()},
      [self = shared_from_this()](Result<http::Answer> answer) {
        if (!answer) return self->fail_with(std::move(answer).error());
        self->look();
      },
      [self = shared_from_this()](std::string_view bytes) { return self->take_output(bytes); });
}

Result<void> ExecWork::take_output(std::string_view bytes) {
  std::vector<OutputPiece> pieces;
  auto taken = frames.take(bytes, pieces);
  for (const OutputPiece& piece : pieces) {
    result.output += piece.bytes.substr(0, request.output_bytes - result.output.size());
  }
  return taken;
}

void ExecWork::look() {
  call->ask({.question = question,
             .path = fmt::format("/exec/{}/json", percent_encoded(id)),
             .limit = left()},
            [self = shared_from_this()](Result<http::Answer> answer) {
              if (!answer) return self->fail_with(std::move(answer).error());
              self->looked(*answer);
            });
}

void ExecWork::looked(const http::Answer& answer) {
  const auto state = parse_exec(answer.body);
  if (!state) return fail_with(state.error());
  if (!state->is_running) {
    result.exit_code = state->exit_code;
    return on_answer(std::move(result));
  }
  // Its outputs are closed, and it goes on; or the engine has not noticed yet.
  if (call->line().clock.monotonic_now() >= deadline) {
    return fail_with(Error(ErrorCode::unknown_outcome,
                           fmt::format("cannot {} {}: the command goes on after its time",
                                       question.verb, question.object)));
  }
  call->pause(kExecPause, [self = shared_from_this()] { self->look(); });
}

}  // namespace

CallHandle DockerEngine::exec(const std::string& container, const ExecRequest& request,
                              OnAnswer<ExecResult> on_answer) {
  auto call = std::make_unique<Conversation>(line_);
  auto work = std::make_shared<ExecWork>();
  work->call = call.get();
  work->question = about_container("run a command in", container);
  work->request = request;
  work->deadline = line_->clock.monotonic_now() + request.limit;
  work->on_answer = std::move(on_answer);
  work->make(container);
  return call;
}

CallHandle DockerEngine::watch_events(const Labels& labels, std::optional<base::RealTime> since,
                                      OnEvent on_event, OnAnswer<void> on_end) {
  auto call = std::make_unique<Conversation>(line_);
  ApiRequest request{.question = {"watch", "events", About::engine},
                     .path = "/events?filters=" + label_filters(labels, "container")};
  if (since) request.path += "&since=" + time_text(*since);
  auto lines = std::make_shared<LineSplitter>();
  const auto on_body = [lines, on_event = std::move(on_event),
                        is_alive = call->liveness()](std::string_view bytes) -> Result<void> {
    SEGUE_ASSIGN(const std::vector<std::string> whole, lines->take(bytes));
    for (const std::string& line : whole) {
      SEGUE_ASSIGN(const ContainerEvent event, parse_event(line));
      on_event(event);
      if (!is_alive()) break;
    }
    return {};
  };
  call->ask(
      std::move(request),
      [on_end = std::move(on_end)](Result<http::Answer> answer) {
        if (!answer) return on_end(fail(std::move(answer).error()));
        on_end(fail(ErrorCode::unavailable,
                    "the engine has ended its stream of events; look at what is, and watch again"));
      },
      on_body);
  return call;
}

}  // namespace segue::runtime
