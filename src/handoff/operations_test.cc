// SPDX-License-Identifier: Apache-2.0
// Operations in flight, counted by the service: a freeze awaits them, or is refused by their name.
// With a real ring of io_uring, where the kernel permits one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "handoff/instance.h"
#include "handoff/test_service.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {
namespace {

// The few calls that a test needs; one operation at a time is submitted.
class Ring {
 public:
  Ring() {
    io_uring_params params{};
    fd_.reset(static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params)));
    if (!fd_.valid()) return;
    const bool one_map = (params.features & IORING_FEAT_SINGLE_MMAP) != 0;
    size_ = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    size_ = std::max<size_t>(size_, params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
    memory_ = static_cast<char*>(map(size_, IORING_OFF_SQ_RING));
    submissions_ =
        static_cast<io_uring_sqe*>(map(params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    params_ = params;
    usable_ = one_map && memory_ != MAP_FAILED && submissions_ != MAP_FAILED;
  }
  ~Ring() {
    if (!usable_) return;
    munmap(memory_, size_);
    munmap(submissions_, params_.sq_entries * sizeof(io_uring_sqe));
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  void read(int fd, void* buffer, uint32_t size, uint64_t id) {
    io_uring_sqe entry{};
    entry.opcode = IORING_OP_READ;
    entry.fd = fd;
    entry.addr = reinterpret_cast<uint64_t>(buffer);
    entry.len = size;
    entry.user_data = id;
    submit(entry);
  }
  void cancel(uint64_t target, uint64_t id) {
    io_uring_sqe entry{};
    entry.opcode = IORING_OP_ASYNC_CANCEL;
    entry.fd = -1;
    entry.addr = target;
    entry.user_data = id;
    submit(entry);
  }
  // Takes a completion if there is one.
  bool reap(uint64_t& id, int& result) {
    std::atomic_ref<uint32_t> head(*word(params_.cq_off.head));
    const std::atomic_ref<uint32_t> tail(*word(params_.cq_off.tail));
    const uint32_t at = head.load();
    if (at == tail.load(std::memory_order_acquire)) return false;
    const auto* entries = reinterpret_cast<const io_uring_cqe*>(memory_ + params_.cq_off.cqes);
    const io_uring_cqe& entry = entries[at & *word(params_.cq_off.ring_mask)];
    id = entry.user_data;
    result = entry.res;
    head.store(at + 1, std::memory_order_release);
    return true;
  }

 private:
  static constexpr unsigned kEntries = 8;

  void* map(size_t size, uint64_t offset) const {
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(),
                static_cast<off_t>(offset));
  }
  [[nodiscard]] uint32_t* word(uint32_t offset) const {
    return reinterpret_cast<uint32_t*>(static_cast<void*>(memory_ + offset));
  }
  void submit(const io_uring_sqe& entry) {
    std::atomic_ref<uint32_t> tail(*word(params_.sq_off.tail));
    const uint32_t at = tail.load();
    const uint32_t slot = at & *word(params_.sq_off.ring_mask);
    submissions_[slot] = entry;
    word(params_.sq_off.array)[slot] = slot;
    tail.store(at + 1, std::memory_order_release);
    EXPECT_EQ(syscall(SYS_io_uring_enter, fd_.get(), 1, 0, 0, nullptr, 0), 1);
  }

  UniqueFd fd_;
  io_uring_params params_{};
  bool usable_ = false;
  size_t size_ = 0;
  char* memory_ = nullptr;
  io_uring_sqe* submissions_ = nullptr;
};

constexpr uint64_t kRead = 1;
constexpr uint64_t kCancel = 2;

// A read of a pipe that nobody writes to is in flight whenever the service serves.
class Reader {
 public:
  explicit Reader(bool cancels) : cancels_(cancels) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    out_.reset(ends[0]);
    in_.reset(ends[1]);
  }
  void declare(Service& service) {
    segue_operations_ops ops{};
    ops.size = sizeof ops;
    ops.drain = [](void* self) { static_cast<Reader*>(self)->drain(); };
    ops.go_on = [](void* self) { static_cast<Reader*>(self)->go_on(); };
    operations_ = segue_operations_open(service.instance.get(), "ring.reads", &ops, this);
    ASSERT_NE(operations_, nullptr) << service.error();
  }
  void begin() {
    segue_operations_add(operations_, 1);
    ring.read(out_.get(), &buffer_, sizeof buffer_, kRead);
  }
  // As a service's loop does when the ring's eventfd is readable.
  void reap() {
    uint64_t id = 0;
    int result = 0;
    while (ring.reap(id, result)) {
      if (id != kRead) continue;
      results.push_back(result);
      segue_operations_add(operations_, -1);
    }
  }
  void write_byte() { EXPECT_EQ(write(in_.get(), "x", 1), 1); }

  Ring ring;
  int drains = 0;
  int goes_on = 0;
  std::vector<int> results;

 private:
  void drain() {
    ++drains;
    if (cancels_) ring.cancel(kRead, kCancel);
  }
  void go_on() {
    ++goes_on;
    if (cancels_) begin();
  }

  bool cancels_;
  UniqueFd out_;
  UniqueFd in_;
  char buffer_ = 0;
  segue_operations* operations_ = nullptr;
};

class Operations : public HandoffTest {
 protected:
  void SetUp() override {
    if (!Ring().usable()) GTEST_SKIP() << "NOT TESTED: this kernel permits no io_uring";
  }
};

TEST_F(Operations, read_in_flight_is_refused_by_its_name) {
  ServiceOptions o = options();
  o.budget_us = 10'000;
  o.max_attempts = 2;
  Service first(o);
  Reader reader(false);
  reader.declare(first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  reader.begin();
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    reader.reap();
    return second.ended();
  }));
  EXPECT_NE(first.error().find("operations in flight: 1 of ring.reads did not end within 5000 us"),
            std::string::npos)
      << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
  EXPECT_EQ(reader.drains, 2);
  EXPECT_EQ(reader.goes_on, 2);
  reader.write_byte();
  ASSERT_TRUE(eventually([&] { return reader.reap(), reader.results == std::vector<int>{1}; }));
  Service third(options());
  hand_over(first, third);
}

TEST_F(Operations, read_that_the_service_cancels_is_awaited) {
  Service first(options());
  Reader reader(true);
  reader.declare(first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  reader.begin();
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    reader.reap();
    return first.ended() && second.active();
  })) << first.error();
  EXPECT_EQ(reader.drains, 1);
  EXPECT_EQ(reader.goes_on, 0);
  EXPECT_EQ(reader.results, std::vector<int>{-ECANCELED});
}

TEST_F(Operations, service_goes_on_when_the_successor_declines) {
  Service first(options());
  Reader reader(true);
  reader.declare(first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  reader.begin();
  ServiceOptions failing = options();
  failing.fail_acquire = true;
  Service second(failing);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    reader.reap();
    return second.ended();
  }));
  EXPECT_TRUE(first.has("resume 2"));
  EXPECT_EQ(reader.drains, 1);
  EXPECT_EQ(reader.goes_on, 1);
  reader.write_byte();  // it reads again
  ASSERT_TRUE(eventually([&] { return reader.reap(), reader.results.back() == 1; }));
}

TEST_F(Operations, ring_itself_is_refused) {
  Service service(options());
  Ring ring;
  EXPECT_EQ(segue_fd_put(service.instance.get(), "ring", ring.fd()), SEGUE_REFUSED);
  EXPECT_NE(service.error().find("ring is a ring of io_uring"), std::string::npos);
}

using CountedWork = HandoffTest;

TEST_F(CountedWork, of_another_thread_is_awaited) {
  Service first(options());
  std::atomic<bool> draining = false;
  segue_operations_ops ops{};
  ops.size = sizeof ops;
  ops.drain = [](void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; };
  segue_operations* work = segue_operations_open(first.instance.get(), "pool", &ops, &draining);
  ASSERT_NE(work, nullptr);
  EXPECT_EQ(segue_operations_open(first.instance.get(), "pool", nullptr, nullptr), nullptr);
  ASSERT_EQ(first.start(), SEGUE_OK);
  segue_operations_add(work, 1);
  std::thread worker([&] {
    EXPECT_TRUE(eventually([&] { return draining.load(); }));
    segue_operations_add(work, -1);
  });
  Service second(options());
  hand_over(first, second);
  worker.join();
  EXPECT_TRUE(draining);
}

TEST_F(CountedWork, of_other_threads_may_change_records_and_connections) {
  constexpr int kChanges = 20'000;
  Service service(options());
  segue_operations_ops ops{};
  ops.size = sizeof ops;
  ASSERT_NE(segue_operations_open(service.instance.get(), "pool", &ops, nullptr), nullptr);
  Inventory& inventory = service.instance->inventory();
  inventory.track();
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 2; ++worker) {
    workers.emplace_back([&service, worker] {
      for (int i = 0; i < kChanges; ++i) {
        const std::string key = std::to_string(worker) + "/" + std::to_string(i);
        segue_table_put(service.table, key.data(), key.size());
        segue_conn* conn = segue_conn_add(service.cls, open("/dev/null", O_RDONLY), nullptr);
        segue_conn_close(conn, SEGUE_CLOSE_FIN);
      }
    });
  }
  // As the keeper asks for it.
  for (int i = 0; i < 1'000; ++i) {
    segue_writer out;
    service.instance->describe(out);
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(inventory.tables[0]->dirty.size(), size_t{2 * kChanges});
  EXPECT_EQ(inventory.connections.count(), 0U);
}

}  // namespace
}  // namespace segue::handoff::test
