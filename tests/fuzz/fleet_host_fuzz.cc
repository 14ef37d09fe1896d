// SPDX-License-Identifier: Apache-2.0
// What agents and servers send each other. What is read is written as something that is read as the
// same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/host.h"
#include "fleet/logs.h"

namespace {

namespace fleet = segue::fleet;

template <class Value>
void try_one(std::string_view bytes, segue::base::Result<Value> (*read)(std::string_view),
             std::string (*write)(const Value&)) {
  const auto value = read(bytes);
  if (!value) return;
  const auto again = read(write(*value));
  if (again ? *again != *value : again.error().message().find("bytes") == std::string::npos) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try_one<fleet::Hello>(bytes, &fleet::read_hello, &fleet::write_hello);
  try_one<fleet::ObservedHost>(bytes, &fleet::read_observed, &fleet::write_observed);
  try_one<fleet::DesiredHost>(bytes, &fleet::read_desired, &fleet::write_desired);
  try_one<fleet::LogsWanted>(bytes, &fleet::read_logs_wanted, &fleet::write_logs_wanted);
  try_one<fleet::LogsRead>(bytes, &fleet::read_logs_read, &fleet::write_logs_read);
  return 0;
}
