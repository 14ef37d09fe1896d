// SPDX-License-Identifier: Apache-2.0
#include "runtime/docker_engine.h"

#include <fmt/format.h>

#include <utility>

#include "runtime/conversation.h"
#include "runtime/mount_sources.h"

namespace segue::runtime {
namespace {

using About = Question::About;
using base::Error;
using base::fail;
using base::Result;

template <class T>
using Parse = Result<T> (*)(std::string_view body);

// One request whose answer is read by `parse`.
template <class T>
CallHandle ask_for(const std::shared_ptr<EngineLine>& line, ApiRequest request, Parse<T> parse,
                   OnAnswer<T> on_answer) {
  auto call = std::make_unique<Conversation>(line);
  const std::string context =
      fmt::format("cannot {} {}", request.question.verb, request.question.object);
  call->ask(std::move(request),
            [parse, context, on_answer = std::move(on_answer)](Result<http::Answer> answer) {
              if (!answer) return on_answer(fail(std::move(answer).error()));
              auto value = parse(answer->body);
              if (!value) return on_answer(fail(std::move(value).error().with(context)));
              on_answer(std::move(value));
            });
  return call;
}

// One request that is done or not; `gone` is well done when `not_found_is_good`.
CallHandle do_it(const std::shared_ptr<EngineLine>& line, ApiRequest request,
                 bool not_found_is_good, OnAnswer<void> on_answer) {
  auto call = std::make_unique<Conversation>(line);
  call->ask(std::move(request),
            [not_found_is_good, on_answer = std::move(on_answer)](Result<http::Answer> answer) {
              const bool is_gone = !answer && answer.error().code() == base::ErrorCode::not_found;
              if (answer || (is_gone && not_found_is_good)) return on_answer({});
              on_answer(fail(std::move(answer).error()));
            });
  return call;
}

Question about_container(std::string verb, const std::string& container) {
  return {std::move(verb), fmt::format("container '{}'", container), About::container};
}
Question about_image(std::string verb, const std::string& image) {
  return {std::move(verb), fmt::format("image '{}'", image), About::image};
}

std::string container_path(const std::string& container, std::string_view rest) {
  return fmt::format("/containers/{}{}", percent_encoded(container), rest);
}

}  // namespace

Result<std::unique_ptr<DockerEngine>> DockerEngine::create(os::EpollLoop& loop,
                                                           const os::Clock& clock,
                                                           EngineOptions options) {
  SEGUE_ASSIGN(http::Client client, http::Client::create(loop));
  auto line = std::shared_ptr<EngineLine>(
      new EngineLine{loop, clock, std::move(options), std::move(client), std::nullopt});
  return std::unique_ptr<DockerEngine>(new DockerEngine(std::move(line)));
}

DockerEngine::DockerEngine(std::shared_ptr<EngineLine> line) : line_(std::move(line)) {}

DockerEngine::~DockerEngine() {
  line_->client.reset();
}

CallHandle DockerEngine::version(OnAnswer<EngineVersion> on_answer) {
  auto call = std::make_unique<Conversation>(line_);
  call->ask_version(std::move(on_answer));
  return call;
}

CallHandle DockerEngine::inspect_image(const std::string& image, OnAnswer<Image> on_answer) {
  return ask_for<Image>(line_,
                        {.question = about_image("inspect", image),
                         .path = fmt::format("/images/{}/json", percent_encoded(image)),
                         .limit = line_->options.answer_limit},
                        parse_image, std::move(on_answer));
}

CallHandle DockerEngine::list_images(const Labels& labels, OnAnswer<std::vector<Image>> on_answer) {
  return ask_for<std::vector<Image>>(line_,
                                     {.question = {"list", "images", About::image},
                                      .path = "/images/json?filters=" + label_filters(labels),
                                      .limit = line_->options.answer_limit},
                                     parse_images, std::move(on_answer));
}

CallHandle DockerEngine::remove_image(const std::string& image, OnAnswer<void> on_answer) {
  return do_it(line_,
               {.question = about_image("remove", image),
                .method = "DELETE",
                .path = "/images/" + percent_encoded(image),
                .limit = line_->options.work_limit},
               true, std::move(on_answer));
}

CallHandle DockerEngine::create_container(const ContainerSpec& spec,
                                          OnAnswer<std::string> on_answer) {
  const Question question = about_container("create", spec.name);
  auto checked = check(spec);
  if (checked) checked = check_mount_sources(spec);
  if (!checked) {
    auto call = std::make_unique<Conversation>(line_);
    call->refuse(question, std::move(checked).error(),
                 [on_answer = std::move(on_answer)](Result<http::Answer> answer) {
                   on_answer(fail(std::move(answer).error()));
                 });
    return call;
  }
  return ask_for<std::string>(
      line_,
      {.question = question,
       .method = "POST",
       .path = "/containers/create?name=" + percent_encoded(spec.name),
       .body_for = [spec](EngineKind kind) { return create_body(spec, kind); },
       .limit = line_->options.work_limit},
      parse_created, std::move(on_answer));
}

CallHandle DockerEngine::start_container(const std::string& container, OnAnswer<void> on_answer) {
  return do_it(line_,
               {.question = about_container("start", container),
                .method = "POST",
                .path = container_path(container, "/start"),
                .limit = line_->options.work_limit},
               false, std::move(on_answer));
}

CallHandle DockerEngine::stop_container(const std::string& container, base::Duration grace,
                                        OnAnswer<void> on_answer) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(grace);
  return do_it(line_,
               {.question = about_container("stop", container),
                .method = "POST",
                .path = container_path(container, fmt::format("/stop?t={}", seconds.count())),
                .limit = line_->options.work_limit + seconds},
               false, std::move(on_answer));
}

CallHandle DockerEngine::kill_container(const std::string& container, int signal,
                                        OnAnswer<void> on_answer) {
  return do_it(line_,
               {.question = about_container("send a signal to", container),
                .method = "POST",
                .path = container_path(container, fmt::format("/kill?signal={}", signal)),
                .limit = line_->options.answer_limit},
               false, std::move(on_answer));
}

CallHandle DockerEngine::wait_container(const std::string& container, OnAnswer<int> on_answer) {
  return ask_for<int>(line_,
                      {.question = about_container("wait for", container),
                       .method = "POST",
                       .path = container_path(container, "/wait"),
                       .changes_nothing = true},
                      parse_wait, std::move(on_answer));
}

CallHandle DockerEngine::remove_container(const std::string& container, OnAnswer<void> on_answer) {
  return do_it(line_,
               {.question = about_container("remove", container),
                .method = "DELETE",
                .path = container_path(container, "?v=true"),
                .limit = line_->options.work_limit},
               true, std::move(on_answer));
}

CallHandle DockerEngine::inspect_container(const std::string& container,
                                           OnAnswer<ContainerState> on_answer) {
  return ask_for<ContainerState>(line_,
                                 {.question = about_container("inspect", container),
                                  .path = container_path(container, "/json"),
                                  .limit = line_->options.answer_limit},
                                 parse_container, std::move(on_answer));
}

CallHandle DockerEngine::list_containers(const Labels& labels,
                                         OnAnswer<std::vector<ContainerSummary>> on_answer) {
  return ask_for<std::vector<ContainerSummary>>(
      line_,
      {.question = {"list", "containers", About::container},
       .path = "/containers/json?all=true&filters=" + label_filters(labels),
       .limit = line_->options.answer_limit},
      parse_containers, std::move(on_answer));
}

CallHandle DockerEngine::stats(const std::string& container, OnAnswer<ContainerStats> on_answer) {
  return ask_for<ContainerStats>(
      line_,
      {.question = about_container("measure", container),
       .path = container_path(container, "/stats?stream=false&one-shot=true"),
       .limit = line_->options.answer_limit},
      parse_stats, std::move(on_answer));
}

}  // namespace segue::runtime
