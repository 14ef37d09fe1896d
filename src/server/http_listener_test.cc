// SPDX-License-Identifier: Apache-2.0
#include "server/http_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "os/files.h"
#include "os/temp_directory.h"
#include "pki/authority.h"
#include "server/event_log.h"

namespace segue::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr const char* kSerial = "0123456789abcdef";
// What the kernel keeps for a connection on top; tcp_wmem and tcp_rmem are less.
constexpr std::size_t kKernelBytes = std::size_t{32} << 20;

// Asks for a stream, and reads when it is told to.
class Reader {
 public:
  explicit Reader(std::uint16_t port) {
    tcp::socket& socket = stream_.next_layer();
    socket.open(tcp::v4());
    socket.set_option(asio::socket_base::receive_buffer_size(4'096));
    socket.connect({asio::ip::address_v4::loopback(), port});
    stream_.handshake(asio::ssl::stream_base::client);
    asio::write(stream_, asio::buffer(std::string("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")));
  }
  // To its end, counting as it goes; the body's bytes.
  void read(std::atomic<std::size_t>& count) {
    std::string head;
    std::array<char, 16'384> piece{};
    bool in_body = false;
    while (true) {
      boost::system::error_code error;
      const std::size_t got = stream_.read_some(asio::buffer(piece), error);
      if (in_body) {
        count += got;
      } else {
        head.append(piece.data(), got);
        const auto end = head.find("\r\n\r\n");
        in_body = end != std::string::npos;
        if (in_body) count += head.size() - end - 4;
      }
      if (error) return;
    }
  }

 private:
  asio::io_context io_;
  asio::ssl::context context_{asio::ssl::context::tls_client};
  asio::ssl::stream<tcp::socket> stream_{io_, context_};
};

class HttpListenerTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
    const auto authority =
        pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                               "test", clock_.realtime_now(), std::chrono::hours(2), kSerial)
            .value();
    const std::string pem =
        authority
            .issue(key.public_key(),
                   {{pki::Role::server, "main"}, std::chrono::hours(1), {}, kSerial},
                   clock_.realtime_now())
            .value();
    ASSERT_TRUE(os::write_file_atomically(directory_.path("c.pem"), pem));
    ASSERT_TRUE(os::write_file_atomically(directory_.path("k.pem"), key.to_pem("").value()));
    listener_ = HttpListener::open(
                    loop_, {"127.0.0.1", 0, directory_.path("c.pem"), directory_.path("k.pem")},
                    [this](const HttpRequest& /*request*/, const HttpListener::GiveAnswer& give) {
                      if (keeps_) {
                        kept_ = give;
                        return;
                      }
                      give({.type = "text/event-stream",
                            .follow = [this](const std::shared_ptr<EventSink>& sink) {
                              sinks_.push_back(sink);
                            }});
                    })
                    .value();
  }
  void run_until(const std::function<bool()>& done) {
    const auto deadline = clock_.monotonic_now() + std::chrono::seconds(60);
    while (!done() && clock_.monotonic_now() < deadline) {
      ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
    }
    ASSERT_TRUE(done());
  }
  std::unique_ptr<Reader> connect() {
    std::unique_ptr<Reader> reader;
    const std::size_t before = sinks_.size();
    std::thread connecting([&] { reader = std::make_unique<Reader>(listener_->port()); });
    run_until([&] { return sinks_.size() > before; });
    connecting.join();
    return reader;
  }

  os::SystemClock clock_;
  os::EpollLoop loop_ = os::EpollLoop::create(clock_).value();
  os::TempDirectory directory_;
  std::vector<std::shared_ptr<EventSink>> sinks_;
  bool keeps_ = false;  // what answers
  HttpListener::GiveAnswer kept_;
  std::unique_ptr<HttpListener> listener_;
};

TEST_F(HttpListenerTest, who_does_not_read_costs_no_more_than_the_bound_and_holds_up_nobody) {
  const auto slow = connect();
  const auto quick = connect();
  ASSERT_TRUE(slow && quick);
  std::atomic<std::size_t> quick_bytes = 0;
  std::thread reading([&] { quick->read(quick_bytes); });
  const std::string event(16'384, 'e');
  std::size_t sent = 0;
  std::size_t taken = 0;
  for (bool takes = true; takes && sent < 2 * kKernelBytes;) {
    takes = sinks_[0]->send(event);
    taken += takes ? event.size() : 0;
    ASSERT_TRUE(sinks_[1]->send(event)) << "another one's slowness is not this one's";
    sent += event.size();
    run_until([&] { return quick_bytes == sent; });
  }
  EXPECT_LT(taken, kKernelBytes + EventSink::kMaxUnsentBytes);
  EXPECT_FALSE(sinks_[0]->send("more"));
  EXPECT_TRUE(sinks_[0]->is_gone());
  EXPECT_TRUE(sinks_[1]->send("the last"));
  run_until([&] { return quick_bytes == sent + 8; });
  // It gets what was taken for it, and then the end: it can ask again from there.
  std::atomic<std::size_t> slow_bytes = 0;
  std::thread late([&] { slow->read(slow_bytes); });
  late.join();
  EXPECT_EQ(slow_bytes, taken);
  listener_.reset();
  reading.join();
}

TEST_F(HttpListenerTest, who_answers_after_its_end_answers_nobody) {
  keeps_ = true;
  std::unique_ptr<Reader> reader;
  std::thread connecting([&] { reader = std::make_unique<Reader>(listener_->port()); });
  run_until([&] { return static_cast<bool>(kept_); });
  connecting.join();
  listener_.reset();
  std::atomic<std::size_t> bytes = 0;
  reader->read(bytes);  // to the end of the connection
  EXPECT_EQ(bytes, 0U);
  kept_({.status = 200, .body = "late"});
  kept_ = nullptr;
}

TEST(EventLog, forgets_who_has_gone_when_another_one_comes) {
  EventLog log;
  bool gone = false;
  for (int i = 0; i < 100; ++i) log.watch([](const FleetEvent&) {}, [&gone] { return gone; });
  EXPECT_EQ(log.watches(), 100U);
  gone = true;
  log.watch([](const FleetEvent&) {});
  EXPECT_EQ(log.watches(), 1U);
}

}  // namespace
}  // namespace segue::server
