// SPDX-License-Identifier: Apache-2.0
// SHA-2 (FIPS 180-4), and bytes as hexadecimal digits.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace segue::crypto {

enum class HashAlgorithm { sha256, sha512 };

// Of a stream, piece by piece. Movable; one thread at a time.
class Digest {
 public:
  explicit Digest(HashAlgorithm algorithm);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  void update(std::string_view bytes);
  // The digest's own bytes: 32 or 64.
  [[nodiscard]] std::string finish() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string digest_of(std::string_view bytes,
                                    HashAlgorithm algorithm = HashAlgorithm::sha256);

// Lower case, two digits a byte.
[[nodiscard]] std::string to_hex(std::string_view bytes);
// Digits of either case; nothing when there is anything else, or half a byte.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view digits);

}  // namespace segue::crypto
