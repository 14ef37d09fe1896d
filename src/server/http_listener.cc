// SPDX-License-Identifier: Apache-2.0
#include "server/http_listener.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "os/loop_mailbox.h"
#include "server/http_session.h"

namespace segue::server {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

Result<std::shared_ptr<ssl::context>> context_for(const HttpListener::Settings& settings) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->use_certificate_chain_file(settings.certificate_file, error);
  if (!error) context->use_private_key_file(settings.key_file, ssl::context::pem, error);
  if (!error) return context;
  return fail(ErrorCode::failed_precondition, "cannot use {} with {}: {}",
              settings.certificate_file, settings.key_file, error.message());
}

}  // namespace

struct HttpListener::State {
  explicit State(Settings its_settings) : settings(std::move(its_settings)) {}

  void accept() {
    acceptor.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error && sessions.size() < kMaxConnections) begin(std::move(socket));
      accept();
    });
  }

  void begin(tcp::socket socket) {
    std::shared_ptr<ssl::context> context;
    {
      const std::lock_guard lock(mutex);
      context = tls;
    }
    const std::uint64_t number = ++last_session;
    const auto session = std::make_shared<HttpSession>(
        std::move(socket), std::move(context),
        [this](HttpRequest request, GiveAnswer give) {
          const bool posted =
              mailbox->poster().post([this, request = std::move(request), give]() mutable {
                handle(std::move(request), std::move(give));
              });
          if (!posted) give({.status = 503});
        },
        [poster = mailbox->poster()](std::function<void()> call) { poster.post(std::move(call)); },
        [this, number] { sessions.erase(number); });
    sessions.emplace(number, session);
    session->begin();
  }

  // When the thread has ended.
  void forget_all() {
    std::vector<std::shared_ptr<HttpSession>> all;
    for (const auto& [number, held] : std::exchange(sessions, {})) {
      if (auto session = held.lock()) all.push_back(std::move(session));
    }
    for (const auto& session : all) session->forget();
  }

  const Settings settings;
  Handle handle;
  std::unique_ptr<os::LoopMailbox> mailbox;
  std::mutex mutex;
  std::shared_ptr<ssl::context> tls;  // guarded by mutex
  // The thread's; outlive what it runs.
  std::unordered_map<std::uint64_t, std::weak_ptr<HttpSession>> sessions;
  std::uint64_t last_session = 0;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::thread thread;
};

HttpListener::HttpListener(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HttpListener>> HttpListener::open(os::EpollLoop& loop,
                                                         const Settings& settings, Handle handle) {
  auto state = std::make_unique<State>(settings);
  state->handle = std::move(handle);
  SEGUE_ASSIGN(state->mailbox, os::LoopMailbox::open(loop));
  SEGUE_ASSIGN(state->tls, context_for(settings));
  boost::system::error_code error;
  const auto address = asio::ip::make_address(settings.address, error);
  if (error) {
    return fail(ErrorCode::invalid_argument, "'{}' is no IP address", settings.address);
  }
  const tcp::endpoint endpoint(address, settings.port);
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return fail(ErrorCode::unavailable, "cannot listen on {}, port {}: {}", settings.address,
                settings.port, error.message());
  }
  state->accept();
  state->thread = std::thread([&held = *state] { held.io.run(); });
  return std::unique_ptr<HttpListener>(new HttpListener(std::move(state)));
}

HttpListener::~HttpListener() {
  state_->mailbox.reset();
  state_->io.stop();
  state_->thread.join();
  state_->forget_all();
}

std::uint16_t HttpListener::port() const {
  return state_->acceptor.local_endpoint().port();
}

Result<void> HttpListener::reload() {
  SEGUE_ASSIGN(auto context, context_for(state_->settings));
  const std::lock_guard lock(state_->mutex);
  state_->tls = std::move(context);
  return {};
}

}  // namespace segue::server
