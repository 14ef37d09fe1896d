// SPDX-License-Identifier: Apache-2.0
// Two e-processes over pairs of clusters, one of the canary and one of the baseline. Each is the
// wealth of a gambler who starts with 1 and bets on every pair, at odds that are fair or against
// him as long as a hypothesis holds; it exceeds 1 / alpha, at whatever of infinitely many looks,
// with a probability of at most alpha (Ville 1939). A mixture of bets of several sizes is one too.
//
// A cluster of n requests has the weight w = min(n, cap) / cap and the events y = w * share of its
// requests that failed (or were slower than an edge).
//
// WorseEvidence, against "the canary is no worse". With one rate for both, t, from pairs before,
//   d = (y_c - t w_c) - (y_b - t w_b) - tolerance * y_b - absolute_tolerance * w_b
// is symmetric about 0, or less than something that is, when clusters of both arms are drawn alike,
// whatever the sizes of clusters, their spread, or how much requests of one have in common. An odd
// function of it is then a fair bet: the factor is 1 + tanh(x), x = d times the size of the bet.
// It equals exp(x) / cosh(x), the likelihood ratio of the sign of d given its size. What is exact
// is thus the hypothesis that operators care for, A/A. Where the canary has the same rate but
// another spread, d is still 0 on average, and the small part of tanh that is not linear goes to 0
// as the bets that win get smaller with more data. Bets on bounded differences would be exact there
// too, but have to reckon with a client whose every request fails, at every pair: they need several
// times the data at rates of 1 %.
//   On such e-values: N. Koning, Measuring evidence against exchangeability and group invariance
//   with e-values (2023, arXiv:2310.01153). On sums that are normalised by themselves: V. de la
//   Peña, A general class of exponential inequalities for martingales and ratios, Ann. Probab. 27
//   (1999).
//
// AcceptableEvidence, against "the canary is worse than the margin allows":
//   d = (1 + margin) y_b w_c + absolute_margin w_b w_c - y_c w_b
// has a mean of at most 0 then, exactly, for the ratio E[y] / E[w] of each arm, if the two clusters
// are independent of each other; and d >= -1. The factor is 1 + bet * d, bet < 1. No symmetry is
// assumed: a false pass harms users, and few failures make d anything but symmetric.
//   I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, J. R.
//   Stat. Soc. B 86 (2024), arXiv:2010.09686: the capital process, and mixtures of fixed bets.
#pragma once

#include <array>
#include <cstddef>

namespace segue::analysis {

// Sizes of bets, and the share of the wealth that each starts with.
inline constexpr std::size_t kWorseBets = 7;
inline constexpr std::size_t kAcceptableBets = 6;

struct WorseEvidence {
  std::array<double, kWorseBets> log_wealth{};

  // `difference` in units of its usual size, which is from pairs before: sqrt(E[d^2]).
  void bet(double difference);
  // The natural logarithm of the e-value.
  [[nodiscard]] double log_e() const;
  friend bool operator==(const WorseEvidence&, const WorseEvidence&) = default;
};

struct AcceptableEvidence {
  std::array<double, kAcceptableBets> log_wealth{};

  // `difference` is -1 or more.
  void bet(double difference);
  [[nodiscard]] double log_e() const;
  friend bool operator==(const AcceptableEvidence&, const AcceptableEvidence&) = default;
};

// log(sum of shares * exp(logs)), the shares equal.
double log_mean_exp(const double* logs, std::size_t count);

}  // namespace segue::analysis
