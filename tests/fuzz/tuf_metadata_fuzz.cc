// SPDX-License-Identifier: Apache-2.0
// Files of TUF metadata from a repository that may be hostile. What is accepted can be written, and
// read as the same; nothing that was not signed counts as signed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tuf/envelope.h"
#include "tuf/repository.h"

namespace {

namespace tuf = segue::tuf;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Metadata>
void read_as(const tuf::Json& json) {
  const auto metadata = tuf::from_json<Metadata>(json);
  if (!metadata) {
    require(!metadata.error().message().empty());
    return;
  }
  const tuf::Json written = tuf::to_json(*metadata);
  const auto again = tuf::from_json<Metadata>(written);
  require(again.has_value());
  require(tuf::to_json(*again) == written);
}

void read_as_every_type(const tuf::Json& json) {
  read_as<tuf::Root>(json);
  read_as<tuf::Timestamp>(json);
  read_as<tuf::Snapshot>(json);
  read_as<tuf::Targets>(json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto json = tuf::parse_json(bytes)) {
    const auto canonical = tuf::canonical_json(*json);
    require(canonical.has_value());
    read_as_every_type(*json);
  }
  if (const auto envelope = tuf::parse_envelope(bytes)) {
    read_as_every_type(envelope->signed_part);
    require(tuf::add_signatures(bytes, {}).has_value());
    (void)tuf::missing_signatures(bytes, nullptr);
    if (const auto root = tuf::from_json<tuf::Root>(envelope->signed_part)) {
      for (const auto& [name, role] : root->roles) {
        require(tuf::count_signatures(*envelope, root->keys, role) <= role.key_ids.size());
      }
    }
  }
  const std::size_t half = size / 2;
  (void)tuf::matches_pattern(bytes.substr(0, half), bytes.substr(half));
  (void)tuf::parse_time(bytes);
  return 0;
}
