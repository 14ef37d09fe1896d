// SPDX-License-Identifier: Apache-2.0
#include "agent/share_words.h"

namespace segue::agent {

using base::ErrorCode;
using base::fail;
using fleet::Sharing;

base::Result<Words> share_words(const InstanceHome& home, const reconcile::InstanceKey& key,
                                const fleet::ComponentSpec* spec,
                                const reconcile::SetShare& command) {
  const auto kind = spec == nullptr ? Sharing::Kind::none : spec->sharing.kind;
  if (kind == Sharing::Kind::haproxy) return Words();  // KeepShare says what it is to do
  if (kind != Sharing::Kind::kernel) {
    if (command.share_ppm == 0) return Words();
    return fail(ErrorCode::failed_precondition,
                "the revision in slot {} does not say 'sharing: {{kind: kernel}}'",
                to_string(key.slot));
  }
  Words words = {home.segue, "share", "--json", key.component,
                 fmt::format("{}.{:04}%", command.share_ppm / 10'000, command.share_ppm % 10'000)};
  if (spec->sharing.pick == Sharing::Pick::source) {
    words.insert(words.end(), {"--sticky", "source"});
    // Without one, each rollout begins with other clients.
    if (command.share_salt != 0) {
      words.insert(words.end(), {"--salt", fmt::to_string(command.share_salt)});
    }
  }
  return words;
}

}  // namespace segue::agent
