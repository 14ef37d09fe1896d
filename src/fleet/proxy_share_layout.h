// SPDX-License-Identifier: Apache-2.0
// The members of a proxy's shares, in documents that a program writes for itself.
#pragma once

#include "fleet/layout.h"
#include "fleet/proxy_share.h"

namespace segue::fleet {

template <>
struct Layout<ProxyCanary> {
  static void visit(auto& archive, auto& canary) {
    archive("host", canary.host);
    archive("server", canary.server);
    archive("stable", canary.stable);
    archive("order", canary.order);
    archive("share_ppm", canary.share_ppm);
  }
};

template <>
struct Layout<ProxyShare> {
  static void visit(auto& archive, auto& share) {
    archive("socket", share.socket);
    archive("backend", share.backend);
    archive("map", share.map);
    archive("routed", share.routed, ProxyShare::kMaxRouted);
    archive("map_value", share.map_value);
    archive("canaries", share.canaries, ProxyShare::kMaxCanaries);
    archive.if_any("readied", share.readied, ProxyShare::kMaxCanaries);
  }
};

template <>
struct Layout<SeenCanary> {
  static void visit(auto& archive, auto& canary) {
    archive("host", canary.host);
    archive("order", canary.order);
    archive("open", canary.open);
  }
};

template <>
struct Layout<SeenShare> {
  static void visit(auto& archive, auto& seen) {
    archive("result", seen.result);
    archive("text", seen.text);
    archive("canaries", seen.canaries, ProxyShare::kMaxCanaries);
    archive("stable", seen.stable);
    archive("canary", seen.canary);
    archive("stable_open", seen.stable_open);
    archive("canary_open", seen.canary_open);
    archive("restarts", seen.restarts);
  }
};

}  // namespace segue::fleet
