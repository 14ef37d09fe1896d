// SPDX-License-Identifier: Apache-2.0
#include "tcp/image_codec.h"

#include <algorithm>
#include <array>
#include <concepts>
#include <optional>

#include "base/assert.h"

namespace segue::tcp {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kMagic = "SEGUETCP";
constexpr std::size_t kHeaderBytes = 8 + 2 + 2 + 4;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kFieldHeaderBytes = 2 + 4;

// A reader that does not know a tag skips it, unless it is one of these.
constexpr std::uint16_t kMustUnderstand = 0x8000;

enum class Tag : std::uint16_t {
  endpoints = 0x8001,
  sequences = 0x8002,
  negotiated = 0x8003,
  windows = 0x8004,
  timestamp = 0x8005,
  unread = 0x8006,
  unacknowledged = 0x8007,
  unsent = 0x8008,
};
enum class OptionalTag : std::uint16_t {
  congestion_window = 1,
  buffers = 2,
  congestion_algorithm = 3,
  options = 4,
};

constexpr std::uint8_t kHasWindowScale = 1;
constexpr std::uint8_t kHasSelectiveAcknowledgement = 2;
constexpr std::uint8_t kKnownNegotiated = kHasWindowScale | kHasSelectiveAcknowledgement;

template <std::unsigned_integral T>
void append(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff));
  }
}

// Reads from the front; once something is missing, everything is.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <std::unsigned_integral T>
  T take() {
    const std::string_view raw = take_bytes(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(raw[i])) << (8 * i);
    }
    return static_cast<T>(value);
  }

  std::string_view take_bytes(std::size_t size) {
    if (size > bytes_.size()) {
      cut_short_ = true;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] bool cut_short() const { return cut_short_; }
  // All was there, and no more.
  [[nodiscard]] bool complete() const { return !cut_short_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool cut_short_ = false;
};

template <class AnyTag>
void append_field(std::string& out, AnyTag tag, std::string_view bytes) {
  append(out, static_cast<std::uint16_t>(tag));
  append(out, static_cast<std::uint32_t>(bytes.size()));
  out.append(bytes);
}

std::size_t address_bytes(Family family) {
  return family == Family::ipv6 ? 16 : 4;
}

// ---- Each field: what is written, and how it is read --------------------------------------------

std::string write_endpoints(const ConnectionImage& image) {
  std::string out(1, static_cast<char>(image.family));
  for (const Endpoint* endpoint : {&image.local, &image.remote}) {
    append(out, endpoint->port);
    for (std::size_t i = 0; i < address_bytes(image.family); ++i) {
      out.push_back(static_cast<char>(endpoint->address.at(i)));
    }
  }
  return out;
}

bool read_endpoints(Reader& in, ConnectionImage& image) {
  const auto family = in.take<std::uint8_t>();
  if (family != 4 && family != 6) return false;
  image.family = static_cast<Family>(family);
  for (Endpoint* endpoint : {&image.local, &image.remote}) {
    endpoint->port = in.take<std::uint16_t>();
    const std::string_view address = in.take_bytes(address_bytes(image.family));
    std::copy(address.begin(), address.end(), endpoint->address.begin());
  }
  return true;
}

std::string write_sequences(const ConnectionImage& image) {
  std::string out;
  append(out, image.send_sequence);
  append(out, image.receive_sequence);
  return out;
}

bool read_sequences(Reader& in, ConnectionImage& image) {
  image.send_sequence = in.take<std::uint32_t>();
  image.receive_sequence = in.take<std::uint32_t>();
  return true;
}

std::string write_negotiated(const ConnectionImage& image) {
  std::string out;
  const WindowScale scale = image.window_scale.value_or(WindowScale{});
  append(out, image.maximum_segment_bytes);
  append(out, static_cast<std::uint8_t>(
                  (image.window_scale ? kHasWindowScale : 0) |
                  (image.selective_acknowledgement ? kHasSelectiveAcknowledgement : 0)));
  append(out, scale.send);
  append(out, scale.receive);
  return out;
}

bool read_negotiated(Reader& in, ConnectionImage& image) {
  image.maximum_segment_bytes = in.take<std::uint16_t>();
  const auto flags = in.take<std::uint8_t>();
  WindowScale scale;
  scale.send = in.take<std::uint8_t>();
  scale.receive = in.take<std::uint8_t>();
  if ((flags & ~kKnownNegotiated) != 0) return false;
  image.selective_acknowledgement = (flags & kHasSelectiveAcknowledgement) != 0;
  if ((flags & kHasWindowScale) != 0) {
    image.window_scale = scale;
    return true;
  }
  return scale == WindowScale{};
}

std::string write_windows(const ConnectionImage& image) {
  std::string out;
  const Windows& windows = image.windows;
  for (const std::uint32_t value :
       {windows.send_update_sequence, windows.send_bytes, windows.send_max_bytes,
        windows.receive_bytes, windows.receive_update_sequence}) {
    append(out, value);
  }
  return out;
}

bool read_windows(Reader& in, ConnectionImage& image) {
  Windows& windows = image.windows;
  for (std::uint32_t* value :
       {&windows.send_update_sequence, &windows.send_bytes, &windows.send_max_bytes,
        &windows.receive_bytes, &windows.receive_update_sequence}) {
    *value = in.take<std::uint32_t>();
  }
  return true;
}

std::string write_buffers(const ConnectionImage& image) {
  std::string out;
  append(out, image.send_buffer_bytes);
  append(out, image.receive_buffer_bytes);
  append(out, image.locked_buffers);
  return out;
}

bool read_buffers(Reader& in, ConnectionImage& image) {
  image.send_buffer_bytes = in.take<std::uint32_t>();
  image.receive_buffer_bytes = in.take<std::uint32_t>();
  image.locked_buffers = in.take<std::uint8_t>();
  return true;
}

std::string write_options(const ConnectionImage& image) {
  std::string out;
  for (const OptionValue& option : image.options) {
    append(out, option.id);
    append(out, static_cast<std::uint32_t>(option.value));
  }
  return out;
}

bool read_options(Reader& in, ConnectionImage& image) {
  constexpr std::size_t kMaxOptions = 256;
  while (!in.empty() && image.options.size() < kMaxOptions) {
    const auto id = in.take<std::uint16_t>();
    const auto value = static_cast<std::int32_t>(in.take<std::uint32_t>());
    // A newer Segue may carry an option that this one would not know how to set.
    if (find_option(id) != nullptr) image.options.push_back({.id = id, .value = value});
  }
  return true;
}

bool read_timestamp(Reader& in, ConnectionImage& image) {
  image.timestamp = in.take<std::uint32_t>();
  return true;
}

bool read_congestion_window(Reader& in, ConnectionImage& image) {
  image.congestion_window_segments = in.take<std::uint32_t>();
  return true;
}

template <std::string ConnectionImage::* member>
bool read_text(Reader& in, ConnectionImage& image, std::size_t size) {
  image.*member = in.take_bytes(size);
  return true;
}

struct FieldReader {
  std::uint16_t tag;
  bool required;
  const char* name;
  bool (*read)(Reader& in, ConnectionImage& image, std::size_t size);
};

template <bool (*read)(Reader&, ConnectionImage&)>
bool sized(Reader& in, ConnectionImage& image, std::size_t) {
  return read(in, image);
}

constexpr std::uint16_t number(Tag tag) {
  return static_cast<std::uint16_t>(tag);
}
constexpr std::uint16_t number(OptionalTag tag) {
  return static_cast<std::uint16_t>(tag);
}

constexpr std::array kFields = {
    FieldReader{number(OptionalTag::congestion_window), false, "congestion window",
                sized<read_congestion_window>},
    FieldReader{number(OptionalTag::buffers), false, "buffers", sized<read_buffers>},
    FieldReader{number(OptionalTag::congestion_algorithm), false, "congestion algorithm",
                read_text<&ConnectionImage::congestion_algorithm>},
    FieldReader{number(OptionalTag::options), false, "socket options", sized<read_options>},
    FieldReader{number(Tag::endpoints), true, "endpoints", sized<read_endpoints>},
    FieldReader{number(Tag::sequences), true, "sequences", sized<read_sequences>},
    FieldReader{number(Tag::negotiated), true, "negotiated options", sized<read_negotiated>},
    FieldReader{number(Tag::windows), true, "windows", sized<read_windows>},
    FieldReader{number(Tag::timestamp), false, "timestamp", sized<read_timestamp>},
    FieldReader{number(Tag::unread), true, "unread bytes", read_text<&ConnectionImage::unread>},
    FieldReader{number(Tag::unacknowledged), true, "unacknowledged bytes",
                read_text<&ConnectionImage::unacknowledged>},
    FieldReader{number(Tag::unsent), true, "unsent bytes", read_text<&ConnectionImage::unsent>},
};

const FieldReader* find_field(std::uint16_t tag) {
  const auto* const found = std::find_if(kFields.begin(), kFields.end(),
                                         [tag](const FieldReader& f) { return f.tag == tag; });
  return found == kFields.end() ? nullptr : found;
}

// ---- The frame around the fields ---------------------------------------------------------------

// What stands between the header and the checksum.
Result<std::string_view> open_frame(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes) {
    return fail(ErrorCode::data_loss, "it is cut short: {} bytes are less than an empty one",
                bytes.size());
  }
  if (bytes.size() > kMaxImageBytes) {
    return fail(ErrorCode::data_loss, "it has {} bytes, at most {} are allowed", bytes.size(),
                kMaxImageBytes);
  }
  Reader header(bytes);
  if (header.take_bytes(kMagic.size()) != kMagic) {
    return fail(ErrorCode::data_loss, "it does not begin with {}", kMagic);
  }
  const auto version = header.take<std::uint16_t>();
  const auto oldest_reader = header.take<std::uint16_t>();
  const auto size = header.take<std::uint32_t>();
  if (size != bytes.size()) {
    return fail(ErrorCode::data_loss, "it has {} bytes and says that it has {}", bytes.size(),
                size);
  }
  const std::size_t end = bytes.size() - kChecksumBytes;
  if (Reader(bytes.substr(end)).take<std::uint32_t>() != crc32(bytes.substr(0, end))) {
    return fail(ErrorCode::data_loss, "its checksum is wrong");
  }
  if (version == 0 || oldest_reader == 0 || oldest_reader > version) {
    return fail(ErrorCode::data_loss, "its version is {}, for readers from {}", version,
                oldest_reader);
  }
  if (oldest_reader > kImageVersion) {
    return fail(ErrorCode::failed_precondition,
                "its version is {}, for readers from {}, and this one reads {}: update Segue here",
                version, oldest_reader, kImageVersion);
  }
  return bytes.substr(kHeaderBytes, end - kHeaderBytes);
}

Result<void> read_field(std::uint16_t tag, std::string_view bytes, ConnectionImage& image) {
  const FieldReader* field = find_field(tag);
  if (field == nullptr) {
    if ((tag & kMustUnderstand) == 0) return {};
    return fail(ErrorCode::failed_precondition,
                "it has a field ({:#06x}) that only a newer Segue understands: update it here",
                tag);
  }
  Reader in(bytes);
  if (field->read(in, image, bytes.size()) && in.complete()) return {};
  return fail(ErrorCode::data_loss, "{}: malformed", field->name);
}

Result<ConnectionImage> read_fields(std::string_view bytes) {
  ConnectionImage image;
  std::array<bool, kFields.size()> seen{};
  Reader in(bytes);
  std::uint16_t last = 0;
  while (!in.empty()) {
    const auto tag = in.take<std::uint16_t>();
    const auto size = in.take<std::uint32_t>();
    const std::string_view field = in.take_bytes(size);
    if (in.cut_short()) return fail(ErrorCode::data_loss, "a field is cut short");
    if (tag <= last) {
      return fail(ErrorCode::data_loss, "its fields are not in ascending order, or one is twice");
    }
    last = tag;
    SEGUE_TRY(read_field(tag, field, image));
    if (const FieldReader* known = find_field(tag)) {
      seen.at(static_cast<std::size_t>(known - kFields.data())) = true;
    }
  }
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if (kFields.at(i).required && !seen.at(i)) {
      return fail(ErrorCode::data_loss, "{}: missing", kFields.at(i).name);
    }
  }
  return image;
}

}  // namespace

std::uint32_t crc32(std::string_view bytes) {
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) {
        value = (value & 1) != 0 ? 0xedb88320U ^ (value >> 1) : value >> 1;
      }
      table.at(i) = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffffU;
  for (const char c : bytes) {
    crc = kTable[(crc ^ static_cast<std::uint8_t>(c)) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}

Result<std::string> encode(const ConnectionImage& image) {
  if (auto valid = check(image); !valid) {
    return fail(std::move(valid).error().with("cannot write the image of a TCP connection"));
  }
  std::string out(kMagic);
  out.reserve(image.unread.size() + image.unacknowledged.size() + image.unsent.size() + 512);
  append(out, kImageVersion);
  append(out, std::uint16_t{1});  // the oldest reader
  append(out, std::uint32_t{0});  // the size, below

  std::string number_bytes;
  append(number_bytes, image.congestion_window_segments);
  append_field(out, OptionalTag::congestion_window, number_bytes);
  append_field(out, OptionalTag::buffers, write_buffers(image));
  append_field(out, OptionalTag::congestion_algorithm, image.congestion_algorithm);
  append_field(out, OptionalTag::options, write_options(image));
  append_field(out, Tag::endpoints, write_endpoints(image));
  append_field(out, Tag::sequences, write_sequences(image));
  append_field(out, Tag::negotiated, write_negotiated(image));
  append_field(out, Tag::windows, write_windows(image));
  if (image.timestamp) {
    number_bytes.clear();
    append(number_bytes, *image.timestamp);
    append_field(out, Tag::timestamp, number_bytes);
  }
  append_field(out, Tag::unread, image.unread);
  append_field(out, Tag::unacknowledged, image.unacknowledged);
  append_field(out, Tag::unsent, image.unsent);

  std::string size;
  append(size, static_cast<std::uint32_t>(out.size() + kChecksumBytes));
  out.replace(kHeaderBytes - size.size(), size.size(), size);
  append(out, crc32(out));
  SEGUE_ASSERT(out.size() <= kMaxImageBytes);
  return out;
}

Result<ConnectionImage> decode(std::string_view bytes) {
  const auto refused = [](base::Error error) {
    return fail(std::move(error).with("cannot read the image of a TCP connection"));
  };
  auto fields = open_frame(bytes);
  if (!fields) return refused(std::move(fields).error());
  auto image = read_fields(*fields);
  if (!image) return refused(std::move(image).error());
  if (auto valid = check(*image); !valid) return refused(std::move(valid).error());
  return image;
}

}  // namespace segue::tcp
