// SPDX-License-Identifier: Apache-2.0
// Certificates and requests for them, from anybody who can connect to a server. Nothing that our
// authority did not sign is believed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/name.h"
#include "pki/certificate.h"
#include "pki/request.h"

namespace {

namespace pki = segue::pki;

void require(bool holds) {
  if (!holds) std::abort();
}

// Whose key is known to nobody.
constexpr std::string_view kAuthority =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBeDCCAR2gAwIBAgIUBNodXQOCS8gIQ8k6mdkaIOKhfuYwCgYIKoZIzj0EAwIw\n"
    "ETEPMA0GA1UEAwwGbm9ib2R5MB4XDTI2MTEyMTIxMzcxOFoXDTM2MTExODIxMzcx\n"
    "OFowETEPMA0GA1UEAwwGbm9ib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
    "PN47S7EjJor3Ywa7Z3Q79YG+qFcvOO/hMks7QCn5YyIY1VAdikbqF1lIJXJvGGmH\n"
    "D6gl1BS9k73KNBZcY6r+4aNTMFEwHQYDVR0OBBYEFIpbynGpz8FqHFUOgMBX60RG\n"
    "SWLBMB8GA1UdIwQYMBaAFIpbynGpz8FqHFUOgMBX60RGSWLBMA8GA1UdEwEB/wQF\n"
    "MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhALgm2s8CNe6XYzFDK3RKnTkgFqbZZtej\n"
    "rZ7LOvZF6s0zAiEA9B47GUrQONt5Bs+w1CFzKlPDoP5X4VDVr+gKfmUM4vQ=\n"
    "-----END CERTIFICATE-----\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view pem(reinterpret_cast<const char*>(data), size);
  if (const auto certificate = pki::read_certificate(pem)) {
    require(segue::control::check_name(certificate->identity.name).has_value());
  }
  if (const auto request = pki::read_request(pem)) {
    require(pki::identity_of(pki::uri_of(request->identity)) == request->identity);
  }
  require(!pki::verify_certificate(pem, kAuthority, {}, pki::Expiry::allowed).has_value());
  (void)pki::identity_of(pem);
  return 0;
}
