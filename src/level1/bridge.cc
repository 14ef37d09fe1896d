// SPDX-License-Identifier: Apache-2.0
#include "level1/bridge.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace segue::level1 {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr const char* kFence = "level1.fence";
constexpr std::string_view kDescriptorPrefix = "fd.";
constexpr int kMessagesPerTurn = 256;
constexpr int kBacklog = 4'096;
constexpr std::size_t kMaxRecordBytes = std::size_t{32} << 10;
constexpr std::uint64_t kReset = 1;  // CLOSE: how

Message make(MessageType type) {
  return Message{.type = type, .fd_count = 0, .fields = {}};
}

Result<Message> nested_in(const std::string& bytes) {
  Message message;
  SEGUE_ASSIGN(message.fields, decode_fields(bytes));
  return message;
}

}  // namespace

// ---- Declaring what the program has ----------------------------------------------------------

Result<std::unique_ptr<Bridge>> Bridge::create(Channel channel, const Message& hello,
                                               std::uint32_t freeze_ms, const os::Clock& clock) {
  std::unique_ptr<Bridge> bridge(new Bridge(std::move(channel), freeze_ms, clock));
  const std::uint64_t lowest = hello.number(1, 0);
  const std::uint64_t highest = hello.number(2, 0);
  if (lowest > kProtocol || highest < kProtocol) {
    return fail(ErrorCode::failed_precondition,
                "the program speaks protocols {} to {}, and this program speaks {}", lowest,
                highest, kProtocol);
  }
  const std::string service = hello.text(3);
  const std::string version = hello.text(4);
  segue_options options{};
  options.service = service.c_str();
  options.version = version.c_str();
  bridge->instance_ =
      std::make_unique<segue::Instance>(options, static_cast<segue::Service&>(*bridge));
  if (!bridge->instance_->valid()) {
    return fail(ErrorCode::invalid_argument, "{}", bridge->instance_->error());
  }
  SEGUE_TRY(bridge->declare(hello));
  return bridge;
}

Result<void> Bridge::declare(const Message& hello) {
  class_ = instance_->connections("level1.connections", {.name = "level1.connection"}, *this);
  if (!class_.valid()) return fail(ErrorCode::internal, "{}", instance_->error());
  std::size_t listeners = 0;
  for (const auto& field : hello.fields) {
    if (field.tag == 5) SEGUE_TRY(declare_form(field.bytes));
    if (field.tag != 6) continue;
    if (++listeners > kMaxListeners) {
      return fail(ErrorCode::resource_exhausted, "more than {} listeners", kMaxListeners);
    }
    SEGUE_TRY(declare_listener(field.bytes));
  }
  return {};
}

Result<void> Bridge::declare_form(const std::string& nested) {
  if (forms_.size() == StateForm::kMaxForms) {
    return fail(ErrorCode::resource_exhausted, "more than {} forms", StateForm::kMaxForms);
  }
  SEGUE_ASSIGN(const Message form, nested_in(nested));
  const std::uint64_t version = form.number(2, 1);
  const std::uint64_t oldest = form.number(3, version);
  if (oldest == 0 || oldest > version || version > UINT32_MAX) {
    return fail(ErrorCode::invalid_argument, "form '{}': versions {} to {} are no range",
                form.text(1), oldest, version);
  }
  forms_.push_back(std::make_unique<StateForm>(form.text(1), static_cast<std::uint32_t>(version),
                                               static_cast<std::uint32_t>(oldest)));
  return forms_.back()->declare(instance_->handle());
}

Result<void> Bridge::declare_listener(const std::string& nested) {
  SEGUE_ASSIGN(const Message listener, nested_in(nested));
  const std::string name = listener.text(1);
  const std::string address = listener.text(2);
  if (instance_->listen(name.c_str(), address.c_str(), kBacklog) != SEGUE_OK) {
    return fail(ErrorCode::invalid_argument, "{}", instance_->error());
  }
  return {};
}

Result<void> Bridge::start() {
  tell(make(MessageType::welcome).put(1, kProtocol));
  if (instance_->start() != SEGUE_OK) {
    return fail(ErrorCode::failed_precondition, "{}", instance_->error());
  }
  return take_failure();
}

// ---- From the program ------------------------------------------------------------------------

Result<void> Bridge::on_channel() {
  SEGUE_TRY(channel_.flush());
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    SEGUE_ASSIGN(auto received, channel_.receive());
    if (!received) break;
    SEGUE_TRY(on_message(*std::move(received)));
  }
  return take_failure();
}

Result<void> Bridge::on_message(Channel::Received received) {
  if (frozen_) {
    return fail(ErrorCode::failed_precondition, "the program sent {} while it is frozen",
                name_of(received.message.type));
  }
  switch (received.message.type) {
    case MessageType::store:
      return on_store(std::move(received));
    case MessageType::close:
      return on_close(received.message);
    case MessageType::state:
      return on_state(std::move(received));
    case MessageType::frozen:
      return on_frozen(received.message);
    case MessageType::serving:
      return on_serving(received.message);
    default:
      return fail(ErrorCode::invalid_argument, "the program sent {}, which is not its to send",
                  name_of(received.message.type));
  }
}

Result<void> Bridge::on_store(Channel::Received received) {
  const Message& message = received.message;
  const auto kind = static_cast<Kind>(message.number(1, 0));
  const std::uint64_t id = message.number(2, 0);
  const std::string name = message.text(3);
  const std::string record = message.text(4);
  if (record.size() > kMaxRecordBytes) {
    return fail(ErrorCode::resource_exhausted, "STORE: a record of {} bytes, {} are allowed",
                record.size(), kMaxRecordBytes);
  }
  if (kind == Kind::descriptor && received.fd) {
    const std::string full = std::string(kDescriptorPrefix) + name;
    if (instance_->put_fd(full.c_str(), received.fd.get()) != SEGUE_OK) {
      return fail(ErrorCode::invalid_argument, "STORE '{}': {}", name, instance_->error());
    }
    (void)received.fd.release();
    return {};
  }
  if (kind != Kind::connection) {
    return fail(ErrorCode::invalid_argument, "STORE of kind {}{}", message.number(1, 0),
                received.fd ? "" : " without a descriptor");
  }
  auto found = entries_.find(id);
  if (found == entries_.end()) {
    if (!received.fd) return fail(ErrorCode::not_found, "STORE: there is no connection {}", id);
    auto entry = std::make_unique<Entry>();
    entry->id = id;
    entry->handle = class_.add(received.fd.get(), entry.get());
    if (!entry->handle.valid()) {
      return fail(ErrorCode::resource_exhausted, "STORE: no more connections fit");
    }
    (void)received.fd.release();
    found = entries_.emplace(id, std::move(entry)).first;
  } else if (received.fd) {
    return fail(ErrorCode::already_exists, "STORE: connection {} is there already", id);
  }
  found->second->name = name;
  found->second->record = record;
  found->second->handle.touch();
  return {};
}

Result<void> Bridge::on_close(const Message& message) {
  const std::string name = message.text(3);
  switch (static_cast<Kind>(message.number(1, 0))) {
    case Kind::listener:
      if (segue_unlisten(instance_->handle(), name.c_str()) == SEGUE_OK) return {};
      return fail(ErrorCode::not_found, "CLOSE: there is no listener '{}'", name);
    case Kind::descriptor:
      if (segue_fd_take_back(instance_->handle(),
                             (std::string(kDescriptorPrefix) + name).c_str()) == SEGUE_OK) {
        return {};
      }
      return fail(ErrorCode::not_found, "CLOSE: there is no descriptor '{}'", name);
    case Kind::connection: {
      const auto found = entries_.find(message.number(2, 0));
      if (found == entries_.end()) {
        return fail(ErrorCode::not_found, "CLOSE: there is no connection {}", message.number(2, 0));
      }
      const bool reset = message.number(4, 0) == kReset;
      found->second->handle.close(reset ? SEGUE_CLOSE_RST : SEGUE_CLOSE_FIN);
      entries_.erase(found);
      return {};
    }
    default:
      return fail(ErrorCode::invalid_argument, "CLOSE of kind {}", message.number(1, 0));
  }
}

StateForm* Bridge::find_form(std::string_view name) {
  for (const auto& form : forms_) {
    if (form->name() == name) return form.get();
  }
  return nullptr;
}

Result<void> Bridge::on_state(Channel::Received received) {
  const Message& message = received.message;
  if (!waits_for_frozen_ || message.number(4, 0) != freezes_) return {};  // of a freeze given up
  StateForm* form = find_form(message.text(1));
  if (form == nullptr || !received.fd) {
    return fail(ErrorCode::invalid_argument, "STATE of form '{}', which {}", message.text(1),
                form == nullptr ? "the program did not declare" : "has no descriptor");
  }
  if (message.number(2, 0) != form->agreed_version()) {
    return fail(ErrorCode::invalid_argument, "STATE of form '{}' in version {}, asked for was {}",
                form->name(), message.number(2, 0), form->agreed_version());
  }
  return form->written(instance_->handle(), std::move(received.fd), message.number(3, 0));
}

Result<void> Bridge::on_frozen(const Message& message) {
  if (!waits_for_frozen_ || message.number(1, 0) != freezes_) return {};
  cannot_freeze_ = message.text(2);
  frozen_ = cannot_freeze_.empty();
  waits_for_frozen_ = false;
  return {};
}

Result<void> Bridge::on_serving(const Message& message) {
  const std::string why = message.text(1);
  (void)instance_->vote(why.empty(), why.empty() ? nullptr : why.c_str());
  return {};
}

// ---- To the program --------------------------------------------------------------------------

void Bridge::note(const Result<void>& result) {
  if (!result && failure_) failure_ = result;
}

Result<void> Bridge::take_failure() {
  return std::exchange(failure_, {});
}

void Bridge::tell(Message message, int fd) {
  note(channel_.send(std::move(message), fd));
}

void Bridge::tell_store(Kind kind, std::uint64_t id, const std::string& name,
                        const std::string& record, int fd) {
  Message store = make(MessageType::store);
  store.put(1, static_cast<std::uint64_t>(kind)).put(2, id).put(3, name);
  if (!record.empty()) store.put(4, record);
  tell(std::move(store), fd);
}

void Bridge::tell_freeze() {
  Message freeze = make(MessageType::freeze);
  freeze.put(1, ++freezes_).put(2, std::uint64_t{freeze_ms_} * 1'000);
  for (const auto& form : forms_) {
    Message nested;
    nested.put(1, form->name()).put(2, std::uint64_t{form->agreed_version()});
    freeze.put(3, encode_fields(nested.fields));
  }
  tell(std::move(freeze));
}

// ---- The fence -------------------------------------------------------------------------------

// The next successor gets the write end, and gives it to its program.
bool Bridge::raise_fence() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    note(fail(base::errno_error("make a pipe", errno)));
    return false;
  }
  fence_.reset(ends[0]);
  return instance_->put_fd(kFence, ends[1]) == SEGUE_OK;
}

// True when no program of a successor lives any more.
bool Bridge::pass_fence() {
  (void)segue_fd_take_back(instance_->handle(), kFence);
  pollfd entry{.fd = fence_.get(), .events = 0, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, kFenceLimitMs);
  } while (ready < 0 && errno == EINTR);
  return ready == 1 && (entry.revents & POLLHUP) != 0;
}

// ---- What libsegue says ----------------------------------------------------------------------

bool Bridge::listener(const char* name, int fd) {
  if (fd < 0) {
    tell(make(MessageType::close).put(1, static_cast<std::uint64_t>(Kind::listener)).put(3, name));
  } else {
    tell_store(Kind::listener, 0, name, "", fd);
  }
  return failure_.has_value();
}

bool Bridge::descriptor(const char* name, int fd) {
  const std::string_view full = name;
  if (full == kFence) {
    if (fd >= 0) tell_store(Kind::fence, 0, "", "", fd);
  } else if (full.starts_with(kDescriptorPrefix)) {
    const std::string own(full.substr(kDescriptorPrefix.size()));
    if (fd >= 0) {
      tell_store(Kind::descriptor, 0, own, "", fd);
    } else {
      tell(make(MessageType::close)
               .put(1, static_cast<std::uint64_t>(Kind::descriptor))
               .put(3, std::string_view(own)));
    }
  } else {
    for (const auto& form : forms_) {
      if (form->descriptor() == full) note(form->arrived(fd));
    }
  }
  return failure_.has_value();
}

bool Bridge::freeze() {
  waits_for_frozen_ = true;
  cannot_freeze_.clear();
  tell_freeze();
  const auto deadline = clock_.monotonic_now() + std::chrono::milliseconds(freeze_ms_);
  while (waits_for_frozen_ && failure_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.monotonic_now());
    if (left.count() <= 0) break;
    auto received = channel_.receive_within(static_cast<int>(left.count()));
    if (!received) {
      note(fail(std::move(received).error()));
    } else if (*received) {
      note(on_message(**std::move(received)));
    }
  }
  waits_for_frozen_ = false;
  return frozen_ && failure_;
}

void Bridge::resume(segue_resume_reason reason, bool /*released*/) {
  frozen_ = false;
  if (reason == SEGUE_RESUME_RECLAIMED) {
    if (!pass_fence()) {
      note(fail(ErrorCode::deadline_exceeded,
                "the successor's program has not ended, so this one must not serve"));
      return;
    }
    (void)raise_fence();
  }
  for (const auto& form : forms_) form->forget(instance_->handle());
  tell(make(MessageType::resume).put(1, static_cast<std::uint64_t>(reason)));
}

void Bridge::activate(const segue_activation& activation) {
  for (const auto& form : forms_) {
    if (!form->present()) continue;
    tell(form->message(), form->memory());
    form->forget(instance_->handle());
  }
  tell(
      make(MessageType::activate).put(1, std::uint64_t{activation.first}).put(2, activation.epoch));
  (void)raise_fence();
}

void Bridge::terminate(segue_end_reason reason) {
  ending_ = reason;
  tell(make(MessageType::end).put(1, static_cast<std::uint64_t>(reason)));
}

// ---- Connections -----------------------------------------------------------------------------

bool Bridge::encode(segue::Connection conn, segue::Writer& out) {
  const Entry& entry = *conn.data<Entry>();
  out.number(1, entry.id);
  out.put(2, entry.name);
  out.put(3, entry.record);
  return true;
}

bool Bridge::adopt(segue::Connection conn, int fd, const segue::Record& record) {
  auto entry = std::make_unique<Entry>();
  entry->id = record.number(1);
  entry->handle = conn;
  conn.set_data(entry.get());
  const auto [place, is_new] = entries_.emplace(entry->id, std::move(entry));
  if (!is_new) return false;
  place->second->name = record.get(2).value_or("");
  place->second->record = record.get(3).value_or("");
  tell_store(Kind::connection, place->first, place->second->name, place->second->record, fd);
  return failure_.has_value();
}

bool Bridge::update(segue::Connection conn, const segue::Record& record) {
  Entry& entry = *conn.data<Entry>();
  if (record.number(1) != entry.id) return false;
  entry.name = record.get(2).value_or("");
  entry.record = record.get(3).value_or("");
  tell_store(Kind::connection, entry.id, entry.name, entry.record, -1);
  return failure_.has_value();
}

void Bridge::drop(segue::Connection conn) {
  const std::uint64_t id = conn.data<Entry>()->id;
  tell(make(MessageType::close).put(1, static_cast<std::uint64_t>(Kind::connection)).put(2, id));
  entries_.erase(id);
}

}  // namespace segue::level1
