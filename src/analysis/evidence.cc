// SPDX-License-Identifier: Apache-2.0
#include "analysis/evidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/assert.h"

namespace segue::analysis {
namespace {

struct Bet {
  double size;
  double share;
};

// The best size is about sqrt(2 log(1/alpha) / pairs): from a few pairs to some ten thousand.
constexpr std::array<Bet, kWorseBets> kWorse = {{{1, 1. / 16},
                                                 {1. / 2, 2. / 16},
                                                 {1. / 4, 3. / 16},
                                                 {1. / 8, 4. / 16},
                                                 {1. / 16, 3. / 16},
                                                 {1. / 32, 2. / 16},
                                                 {1. / 64, 1. / 16}}};
// Failures are rare, so that the best size is mostly the largest.
constexpr std::array<Bet, kAcceptableBets> kAcceptable = {{{0.95, 5. / 12},
                                                           {0.7, 2. / 12},
                                                           {0.4, 2. / 12},
                                                           {0.2, 1. / 12},
                                                           {0.1, 1. / 12},
                                                           {0.05, 1. / 12}}};
// One pair can lose no more than a factor of 200, whatever is in it.
constexpr double kMaxStake = 3;

template <std::size_t size>
double log_mixture(const std::array<double, size>& logs, const std::array<Bet, size>& bets) {
  const double largest = *std::ranges::max_element(logs);
  double sum = 0;
  for (std::size_t place = 0; place < size; ++place) {
    sum += bets.at(place).share * std::exp(logs.at(place) - largest);
  }
  return largest + std::log(sum);
}

}  // namespace

void WorseEvidence::bet(double difference) {
  for (std::size_t place = 0; place < kWorseBets; ++place) {
    const double stake = std::clamp(kWorse.at(place).size * difference, -kMaxStake, kMaxStake);
    // log(1 + tanh(x)) = x - log(cosh(x)), and neither side of it cancels.
    const double size = std::abs(stake);
    log_wealth.at(place) += stake - size - std::log1p(std::exp(-2 * size)) + std::log(2.0);
  }
}

double WorseEvidence::log_e() const {
  return log_mixture(log_wealth, kWorse);
}

void AcceptableEvidence::bet(double difference) {
  SEGUE_ASSERT(difference >= -1 - 1e-9);
  for (std::size_t place = 0; place < kAcceptableBets; ++place) {
    log_wealth.at(place) += std::log1p(kAcceptable.at(place).size * std::max(difference, -1.0));
  }
}

double AcceptableEvidence::log_e() const {
  return log_mixture(log_wealth, kAcceptable);
}

double log_mean_exp(const double* logs, std::size_t count) {
  const double largest = *std::max_element(logs, logs + count);
  double sum = 0;
  for (std::size_t place = 0; place < count; ++place) sum += std::exp(logs[place] - largest);
  return largest + std::log(sum / static_cast<double>(count));
}

}  // namespace segue::analysis
