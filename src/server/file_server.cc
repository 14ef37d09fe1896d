// SPDX-License-Identifier: Apache-2.0
#include "server/file_server.h"

#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "os/unique_fd.h"
#include "server/library_files.h"
#include "server/session.h"

namespace segue::server {

namespace asio = boost::asio;

using asio::ip::tcp;
using base::ErrorCode;
using base::fail;
using base::Result;

struct FileServer::State {
  explicit State(const ServerSettings& given) : settings(given) {}
  ~State() { is_closing = true; }

  void accept() {
    if (figures.open_connections >= settings.max_connections) {
      is_full = true;
      return;
    }
    acceptor.async_accept([this](const boost::system::error_code& problem, tcp::socket socket) {
      if (problem == asio::error::operation_aborted) return;
      // Out of descriptors, or gone before it was accepted: those that are open end in time.
      if (problem) return retry();
      ++figures.connections;
      ++figures.open_connections;
      const SessionLimits limits{settings.idle, settings.piece};
      std::make_shared<Session>(std::move(socket), *files, limits, figures, [this] {
        closed();
      })->begin();
      accept();
    });
  }

  void closed() {
    if (is_closing) return;  // the context throws away what was open
    --figures.open_connections;
    if (is_full && acceptor.is_open()) {
      is_full = false;
      accept();
    }
  }

  void retry() {
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](const boost::system::error_code& problem) {
      if (!problem) accept();
    });
  }

  ServerSettings settings;
  std::unique_ptr<LibraryFiles> files;
  ServerFigures figures;
  bool is_full = false;
  bool is_closing = false;
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  asio::signal_set signals{context};
  asio::steady_timer pause{context};
};

FileServer::FileServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
FileServer::~FileServer() = default;

Result<std::unique_ptr<FileServer>> FileServer::open(const ServerSettings& settings) {
  auto state = std::make_unique<State>(settings);
  SEGUE_ASSIGN(LibraryFiles files, LibraryFiles::open(settings.library));
  state->files = std::make_unique<LibraryFiles>(std::move(files));
  boost::system::error_code problem;
  const auto address = asio::ip::make_address(settings.address, problem);
  if (problem) {
    return fail(ErrorCode::invalid_argument, "'{}' is no IP address", settings.address);
  }
  const tcp::endpoint endpoint(address, settings.port);
  state->acceptor.open(endpoint.protocol(), problem);
  if (!problem) state->acceptor.set_option(tcp::acceptor::reuse_address(true), problem);
  if (!problem) state->acceptor.bind(endpoint, problem);
  if (!problem) state->acceptor.listen(asio::socket_base::max_listen_connections, problem);
  if (problem) {
    return fail(ErrorCode::failed_precondition, "cannot listen on {}:{}: {}", settings.address,
                settings.port, problem.message());
  }
  return std::unique_ptr<FileServer>(new FileServer(std::move(state)));
}

std::uint16_t FileServer::port() const {
  boost::system::error_code problem;
  return state_->acceptor.local_endpoint(problem).port();
}

void FileServer::run(bool until_signal) {
  if (until_signal) {
    state_->signals.add(SIGTERM);
    state_->signals.add(SIGINT);
    state_->signals.async_wait([this](const boost::system::error_code& problem, int) {
      if (!problem) state_->context.stop();
    });
  }
  state_->accept();
  state_->context.run();
}

void FileServer::stop() {
  state_->context.stop();
}

ServerFigures FileServer::figures() const {
  return state_->figures;
}

}  // namespace segue::server
