// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_weights.h"

#include <algorithm>
#include <cmath>

namespace segue::traffic {
namespace {

// An error of 1% in the share is as bad as one of 50% in how servers of a kind weigh.
constexpr double kDistortionCost = 0.02;

std::uint32_t base_of(const WeightedServer& server) {
  return server.is_canary ? std::max(server.configured, 1U) : server.configured;
}

// Servers of one kind, scaled so that the heaviest weighs `heaviest`.
struct Scaled {
  std::uint32_t sum = 0;  // of those that count
  double distortion = 0;  // the largest relative error of one of them
};

class Kind {
 public:
  Kind(const std::vector<WeightedServer>& servers, bool is_canary)
      : servers_(servers), is_canary_(is_canary) {
    for (const auto& server : servers) {
      if (server.is_canary != is_canary) continue;
      heaviest_ = std::max(heaviest_, base_of(server));
      if (server.counts) counted_ += base_of(server);
    }
  }
  [[nodiscard]] bool gets_nothing() const { return counted_ == 0; }
  [[nodiscard]] std::uint32_t heaviest() const { return heaviest_; }

  [[nodiscard]] std::uint32_t weight(const WeightedServer& server, std::uint32_t heaviest) const {
    const std::uint32_t base = base_of(server);
    if (base == 0 || heaviest_ == 0 || heaviest == 0) return 0;
    return std::max(1U, (2 * base * heaviest + heaviest_) / (2 * heaviest_));
  }
  [[nodiscard]] Scaled scaled(std::uint32_t heaviest) const {
    Scaled result;
    const double factor = heaviest / static_cast<double>(std::max(heaviest_, 1U));
    for (const auto& server : servers_) {
      if (server.is_canary != is_canary_ || !server.counts || base_of(server) == 0) continue;
      const std::uint32_t one = weight(server, heaviest);
      const double wanted = base_of(server) * factor;
      result.sum += one;
      result.distortion = std::max(result.distortion, std::abs(one - wanted) / wanted);
    }
    return result;
  }

 private:
  const std::vector<WeightedServer>& servers_;
  bool is_canary_;
  std::uint32_t heaviest_ = 0;
  std::uint32_t counted_ = 0;
};

double share_of(std::uint32_t canary, std::uint32_t stable) {
  return canary + stable == 0 ? 0 : canary / static_cast<double>(canary + stable);
}

}  // namespace

ChosenWeights choose_weights(const std::vector<WeightedServer>& servers, std::uint32_t share_ppm) {
  const Kind stable(servers, false);
  const Kind canary(servers, true);
  const double wanted = share_ppm / double{kWholePpm};
  std::uint32_t of_stable = share_ppm >= kWholePpm ? 0 : stable.heaviest();
  std::uint32_t of_canary = share_ppm == 0 ? 0 : canary.heaviest();
  if (share_ppm != 0 && share_ppm < kWholePpm && !stable.gets_nothing() && !canary.gets_nothing()) {
    std::vector<Scaled> canaries(kMaxProxyWeight + 1);
    for (std::uint32_t i = 1; i <= kMaxProxyWeight; ++i) canaries[i] = canary.scaled(i);
    double best = 2;
    for (std::uint32_t i = kMaxProxyWeight; i >= 1; --i) {
      const Scaled one = stable.scaled(i);
      for (std::uint32_t k = kMaxProxyWeight; k >= 1; --k) {
        const double cost = std::abs(share_of(canaries[k].sum, one.sum) - wanted) +
                            kDistortionCost * (one.distortion + canaries[k].distortion);
        if (cost >= best) continue;
        best = cost;
        of_stable = i;
        of_canary = k;
      }
    }
  }
  ChosenWeights chosen;
  for (const auto& server : servers) {
    chosen.weights.push_back(server.is_canary ? canary.weight(server, of_canary)
                                              : stable.weight(server, of_stable));
  }
  chosen.share = share_of(of_canary == 0 ? 0 : canary.scaled(of_canary).sum,
                          of_stable == 0 ? 0 : stable.scaled(of_stable).sum);
  return chosen;
}

}  // namespace segue::traffic
