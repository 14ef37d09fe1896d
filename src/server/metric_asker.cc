// SPDX-License-Identifier: Apache-2.0
#include "server/metric_asker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "fetch/http.h"
#include "os/unique_fd.h"
#include "prometheus/query.h"

namespace segue::server {

struct MetricAsker::Shared {
  struct Task {
    Question question;
    Take take;
    MetricAnswers answers;
  };
  os::UniqueFd ready;  // readable: something lies in `answered`
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Task> waiting;
  std::deque<Task> answered;
  std::size_t asked = 0;  // and not delivered
  bool is_over = false;
  std::vector<std::thread> threads;

  void work() {
    fetch::HttpClient http;
    while (true) {
      Task task;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return is_over || !waiting.empty(); });
        if (is_over) return;
        task = std::move(waiting.front());
        waiting.pop_front();
      }
      for (const auto& query : task.question.queries) {
        const bool has_failed = !task.answers.empty() && !task.answers.back();
        task.answers.push_back(
            has_failed ? MetricAnswers::value_type(base::fail(task.answers.back().error()))
                       : prometheus::query(http, {task.question.url, {}}, query, kLimit));
      }
      const std::lock_guard lock(mutex);
      answered.push_back(std::move(task));
      (void)::eventfd_write(ready.get(), 1);
    }
  }
};

base::Result<std::unique_ptr<MetricAsker>> MetricAsker::open(os::EpollLoop& loop) {
  std::unique_ptr<MetricAsker> asker(new MetricAsker(loop));
  Shared& shared = *asker->shared_;
  shared.ready = os::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared.ready) return base::fail(base::errno_error("make an eventfd", errno));
  SEGUE_TRY(loop.watch(shared.ready.get(), EPOLLIN,
                       [asker = asker.get()](std::uint32_t) { asker->deliver(); }));
  for (std::size_t i = 0; i < kThreads; ++i) {
    shared.threads.emplace_back([&shared] { shared.work(); });
  }
  return asker;
}

MetricAsker::MetricAsker(os::EpollLoop& loop) : loop_(loop), shared_(std::make_unique<Shared>()) {}

MetricAsker::~MetricAsker() {
  if (shared_->ready) loop_.unwatch(shared_->ready.get());
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->is_over = true;
  }
  shared_->wake.notify_all();
  for (auto& thread : shared_->threads) thread.join();
}

bool MetricAsker::ask(Question question, Take take) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->asked >= kMaxWaiting) return false;
    ++shared_->asked;
    shared_->waiting.push_back({std::move(question), std::move(take), {}});
  }
  shared_->wake.notify_one();
  return true;
}

void MetricAsker::deliver() {
  std::deque<Shared::Task> answered;
  {
    const std::lock_guard lock(shared_->mutex);
    eventfd_t count = 0;
    (void)::eventfd_read(shared_->ready.get(), &count);
    answered.swap(shared_->answered);
    shared_->asked -= answered.size();
  }
  for (const auto& task : answered) task.take(task.answers);
}

}  // namespace segue::server
