# SPDX-License-Identifier: Apache-2.0
"""What Segue has to reach; see README.md."""

MAX_ABORT_SHARE = 0.01
MAX_MEDIAN_MS = 0.1
MAX_P99_MS = 2
MAX_P99_WAKEUPS = 3
MAX_P999_OVER_CONTROL_MS = 10
MAX_MEDIAN_GROWTH = 2
MAX_MEMORY_GROWTH = 1.05

ALL_ZERO = ("lost", "cut", "new_failed", "over_budget", "wrong", "writes_lost")


def judge(report, case, control_p999_ms):
    """The targets of one case of Segue's."""
    counts = {metric: report.value(case, metric) for metric in ALL_ZERO}
    report.check(case, ", ".join(f"{metric} {value}" for metric, value in counts.items()) +
                 ", target 0 each", not any(counts.values()))
    share = report.value(case, "on_new_share")
    report.check(case, f"on the new version {share:.3f}, target 1", share == 1)
    over_ms = report.value(case, "stall_ms_p999") - control_p999_ms
    report.check(case, f"clients' p99.9 {over_ms:+.2f} ms against the control's, "
                       f"target within {MAX_P999_OVER_CONTROL_MS}",
                 over_ms <= MAX_P999_OVER_CONTROL_MS)


def judge_chain(report, case):
    share = report.value(case, "abort_share")
    report.check(case, f"handoffs aborted {share:.3f}, target <= {MAX_ABORT_SHARE}",
                 share <= MAX_ABORT_SHARE)
    median, p99 = report.value(case, "blackout_ms_median"), report.value(case, "blackout_ms_p99")
    if median is None:
        report.check(case, "no blackout was measured", False)
        return
    report.check(case, f"blackout median {median:.3f} ms, target <= {MAX_MEDIAN_MS}",
                 median <= MAX_MEDIAN_MS)
    limit = max(MAX_P99_MS, MAX_P99_WAKEUPS * report.value(case, "wakeup_ms_p99"))
    report.check(case, f"blackout p99 {p99:.2f} ms, target <= {limit:.2f} "
                       f"({MAX_P99_MS} or {MAX_P99_WAKEUPS} x the wake-up control's p99)",
                 p99 <= limit)


def judge_holdings(report, case):
    """Descriptors and memory stay as they are, of the service and of the keeper."""
    for role in ("service", "keeper"):
        before, after = (report.value(case, f"{role}_fds_{when}") for when in ("first", "last"))
        if before is None:
            continue
        report.check(case, f"{role}: {before} descriptors early, {after} at the end, target equal",
                     before == after)
        before, after = (report.value(case, f"{role}_rss_mib_{when}") for when in ("first", "last"))
        report.check(case, f"{role}: {before:.1f} MiB early, {after:.1f} at the end, "
                           f"target <= {MAX_MEMORY_GROWTH} x", after <= MAX_MEMORY_GROWTH * before)


def judge_crash(report, case):
    """What was closed and counted may be cut; nothing may be wrong, silent or lost."""
    counts = {metric: report.value(case, metric) for metric in ("lost", "wrong", "writes_lost")}
    report.check(case, ", ".join(f"{metric} {value}" for metric, value in counts.items()) +
                 ", target 0 each", not any(counts.values()))
    cut, counted = report.value(case, "cut"), report.value(case, "closed_counted")
    report.check(case, f"{cut} connections cut, {counted} counted, target no more than counted",
                 cut <= counted)
    crashes, replayed = report.value(case, "crashes"), report.value(case, "replayed")
    report.check(case, f"{replayed} of {crashes} crashes replayed, target all",
                 replayed == crashes)


def judge_growth(report, few_case, many_case):
    few, many = (report.value(case, "blackout_ms_median") for case in (few_case, many_case))
    if few is None or many is None:
        return
    report.check(many_case, f"median {many / few:.2f} x that of {few_case}, "
                            f"target <= {MAX_MEDIAN_GROWTH}", many <= MAX_MEDIAN_GROWTH * few)
