// SPDX-License-Identifier: Apache-2.0
#include "cli/signing_keys.h"

#include "os/files.h"

namespace segue::cli {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t kMaxPassphraseBytes = 1'000;

}  // namespace

Result<std::string> read_passphrase(const std::string& path) {
  if (path.empty()) return std::string();
  SEGUE_ASSIGN(std::string text, os::read_file(path, kMaxPassphraseBytes));
  text.resize(std::min(text.size(), text.find('\n')));
  if (!text.empty()) return text;
  return fail(ErrorCode::invalid_argument, "{}: its first line, the passphrase, is empty", path);
}

Result<crypto::PrivateKey> read_private_key(const std::string& path,
                                            const std::string& passphrase_file) {
  SEGUE_ASSIGN(const std::string pem, os::read_file(path, crypto::kMaxPemBytes));
  SEGUE_ASSIGN(const std::string passphrase, read_passphrase(passphrase_file));
  auto key = crypto::PrivateKey::from_pem(pem, passphrase);
  if (!key) return fail(std::move(key).error().with(path));
  return key;
}

Result<tuf::Signers> read_signers(const std::vector<std::string>& words,
                                  const std::string& passphrase_file) {
  tuf::Signers signers;
  for (const auto& word : words) {
    const std::size_t equals = word.find('=');
    const std::string role = word.substr(0, equals);
    if (equals == std::string::npos || role.empty() || equals + 1 == word.size() ||
        role == tuf::kRoot) {
      return fail(ErrorCode::invalid_argument,
                  "--sign-with {}: write ROLE=FILE, the role being the component, plans, targets, "
                  "snapshot or timestamp",
                  word);
    }
    SEGUE_ASSIGN(crypto::PrivateKey key,
                 read_private_key(word.substr(equals + 1), passphrase_file));
    signers[role].push_back(std::move(key));
  }
  return signers;
}

}  // namespace segue::cli
