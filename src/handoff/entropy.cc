// SPDX-License-Identifier: Apache-2.0
#include "handoff/entropy.h"

#include <sys/random.h>

#include <cstdlib>

namespace segue::handoff {

std::string make_nonce() {
  std::string nonce(kNonceBytes, '\0');
  // Requests of up to 256 bytes are never cut short once the generator is seeded (getrandom(2)).
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) abort();
  return nonce;
}

}  // namespace segue::handoff
