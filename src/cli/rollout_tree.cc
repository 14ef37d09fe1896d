// SPDX-License-Identifier: Apache-2.0
#include "cli/rollout_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "cli/server_client.h"
#include "control/text.h"
#include "traffic/share.h"

namespace segue::cli {
namespace {

constexpr std::size_t kBarSteps = 10;
constexpr std::size_t kMaxWrapped = 3;  // lines of one sentence, on a screen
constexpr std::size_t kMaxNameColumns = 32;

std::optional<std::uint64_t> number_if_any(const Json& json, const char* name) {
  const auto found = json.find(name);
  const bool is_number = found != json.end() && found->is_number_integer() && *found >= 0;
  return is_number ? std::optional(found->get<std::uint64_t>()) : std::nullopt;
}

std::uint64_t number_of(const Json& json, const char* name) {
  return number_if_any(json, name).value_or(0);
}

bool is_set(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

const Json& list_of(const Json& json, const char* name) {
  static const Json kNone = Json::array();
  const auto found = json.find(name);
  return found != json.end() && found->is_array() ? *found : kNone;
}

std::string shown(const Json& json, const char* name) {
  return shown_text(text_of(json, name));
}

std::string span_text(std::uint64_t milliseconds) {
  const std::uint64_t seconds = (milliseconds + 500) / 1'000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7'200) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3'600)
    return fmt::format("{} h {:02} min", seconds / 3'600, seconds / 60 % 60);
  return fmt::format("{} days", seconds / 86'400);
}

Tone tone_of(std::string_view word) {
  static const std::map<std::string_view, Tone> kTones = {
      {"done", Tone::good},         {"good", Tone::good},
      {"failed", Tone::bad},        {"undone", Tone::bad},
      {"undoing", Tone::bad},       {"bad", Tone::bad},
      {"silent", Tone::bad},        {"to-come", Tone::faint},
      {"waiting", Tone::faint},     {"left-alone", Tone::faint},
      {"drained", Tone::faint},     {"left", Tone::faint},
      {"ended", Tone::faint},       {"renewed", Tone::good},
      {"superseded", Tone::strong}, {"waiting, not well", Tone::bad}};
  const auto found = kTones.find(word);
  return found == kTones.end() ? Tone::busy : found->second;
}

// Nothing is the matter with it, nor under way.
bool is_settled_word(std::string_view standing) {
  return standing == "good" || standing == "waiting" || standing == "renewed" ||
         standing == "ended";
}

std::string share_line(const Json& share) {
  const std::uint64_t canary = number_of(share, "canary");
  const std::uint64_t all = canary + number_of(share, "stable");
  const std::uint64_t open = number_of(share, "canary_open");
  const std::string text = shown(share, "text");
  return fmt::format("proxy {}: {} {}, moved {} of {} new, {} of {} open at the canary{}{}",
                     shown(share, "proxy_host"),
                     traffic::share_text(static_cast<std::uint32_t>(number_of(share, "share_ppm"))),
                     shown(share, "result"), traffic::measured_text(canary, all), all, open,
                     open + number_of(share, "stable_open"), text.empty() ? "" : ": ", text);
}

// Signs of the tree, and how a cut line ends.
struct Signs {
  std::string_view branch;
  std::string_view last;
  std::string_view pass;
  std::string_view none = "   ";
  std::string_view end;
};
constexpr Signs kUtf8 = {.branch = "├─ ", .last = "└─ ", .pass = "│  ", .end = "…"};
constexpr Signs kAscii = {.branch = "|- ", .last = "`- ", .pass = "|  ", .end = "~"};

class Tree {
 public:
  Tree(const Json& progress, const TreeView& view)
      : progress_(progress), view_(view), signs_(view.is_utf8 ? kUtf8 : kAscii) {
    current_ = std::min<std::size_t>(number_of(progress, "step"),
                                     steps().empty() ? 0 : steps().size() - 1);
    below_.resize(steps().size());
    for (const auto& instance : list_of(progress, "instances")) {
      const std::size_t step = step_shown(progress, instance);
      if (step < below_.size()) below_[step].push_back(&instance);
    }
    for (const auto& step : steps()) widen(name_columns_, shown(step, "name"));
    for (const auto& instance : list_of(progress, "instances"))
      widen(host_columns_, host_of(instance));
  }

  std::vector<ScreenLine> draw() {
    head();
    const std::vector<ScreenLine> details = of_current_step();
    choose_steps(lines_.size() + details.size());
    choose_instances(lines_.size() + details.size());
    if (first_ > 0) more(fmt::format("{} steps before", first_));
    for (std::size_t i = first_; i < end_; ++i) {
      const bool is_last = i + 1 == steps().size();
      step_line(i, is_last);
      const std::string_view stem = is_last ? signs_.none : signs_.pass;
      std::vector<ScreenLine> inner = i == current_ ? details : std::vector<ScreenLine>();
      for (auto& line : instance_lines(i)) inner.push_back(std::move(line));
      for (std::size_t line = 0; line < inner.size(); ++line) {
        // What a sentence goes on with has no branch of its own.
        const bool goes_on = !inner[line].empty() && inner[line].front().text.empty();
        const bool ends =
            std::none_of(inner.begin() + static_cast<std::ptrdiff_t>(line) + 1, inner.end(),
                         [](const ScreenLine& one) { return !one.front().text.empty(); });
        const std::string_view sign = goes_on ? (ends ? signs_.none : signs_.pass)
                                      : ends  ? signs_.last
                                              : signs_.branch;
        ScreenLine whole{{std::string(stem) + std::string(sign), Tone::faint}};
        whole.insert(whole.end(), inner[line].begin(), inner[line].end());
        add(std::move(whole));
      }
    }
    if (end_ < steps().size()) more(fmt::format("{} steps more", steps().size() - end_));
    if (view_.rows > 0 && lines_.size() > view_.rows) lines_.resize(view_.rows);
    return std::move(lines_);
  }

 private:
  [[nodiscard]] const Json& steps() const { return list_of(progress_, "steps"); }

  static void widen(std::size_t& columns, const std::string& text) {
    columns = std::min(kMaxNameColumns, std::max(columns, columns_of(text)));
  }

  static std::string host_of(const Json& instance) {
    return shown(instance, "host") + (text_of(instance, "slot") == "canary" ? " canary" : "");
  }

  [[nodiscard]] std::string padded(const std::string& text, std::size_t columns) const {
    const std::string cut = cut_text(text, columns, signs_.end);
    return cut + std::string(columns - columns_of(cut), ' ');
  }

  void add(ScreenLine line) { lines_.push_back(cut_line(line, view_.columns, signs_.end)); }

  void more(const std::string& text) {
    add({{std::string(signs_.branch), Tone::faint}, {fmt::format("({})", text), Tone::faint}});
  }

  [[nodiscard]] std::vector<std::string> wrapped(const std::string& text,
                                                 std::size_t indent) const {
    const std::size_t columns = view_.columns > indent ? view_.columns - indent : view_.columns;
    return wrapped_text(text, columns, kMaxWrapped, signs_.end);
  }

  void sentence(const char* label, const std::string& text, Tone tone) {
    if (text.empty()) return;
    const std::string head = fmt::format("{}{:<10} ", signs_.pass, label);
    bool is_first = true;
    for (auto& line : wrapped(text, columns_of(head))) {
      add({{is_first ? head : std::string(signs_.pass) + std::string(11, ' '), Tone::faint},
           {std::move(line), tone}});
      is_first = false;
    }
  }

  void head() {
    const std::string title = shown(progress_, "title");
    const std::string phase = phase_text(progress_);
    const std::string left = time_left_text(progress_);
    ScreenLine line{{shown(progress_, "id"), Tone::strong},
                    {fmt::format("  {}{}by {}  ", title, title.empty() ? "" : ", ",
                                 shown(progress_, "author"))},
                    {phase, tone_of(text_of(progress_, "phase"))}};
    if (!left.empty()) line.push_back({"  " + left, Tone::faint});
    add(std::move(line));
    sentence("signed by", signers(), Tone::plain);
    sentence("why", shown(progress_, "why"), Tone::strong);
    sentence("waits for", shown(progress_, "waits_for"), Tone::plain);
    sentence("next", shown(progress_, "next"), Tone::plain);
    if (progress_.contains("traffic")) traffic(progress_["traffic"]);
  }

  [[nodiscard]] std::string signers() const {
    std::string names;
    for (const auto& signer : progress_.value("signed_by", Json::array())) {
      const std::string name = shown(signer, "person");
      if (!names.empty()) names += ", ";
      names += name;
    }
    return names;
  }

  void traffic(const Json& traffic) {
    std::string text = fmt::format("{} at stable slots, {} at the canary's",
                                   control::with_thousands(number_of(traffic, "stable")),
                                   control::with_thousands(number_of(traffic, "canary")));
    if (const auto handoffs = number_of(traffic, "handoffs"); handoffs > 0) {
      text += fmt::format(
          "; {}: {} moved, {} lost, worst blackout {}", control::counted(handoffs, "handoff"),
          control::with_thousands(number_of(traffic, "moved")),
          control::with_thousands(number_of(traffic, "lost")),
          control::milliseconds_text(1'000 * number_of(traffic, "worst_blackout_us")));
    }
    sentence("connects", text, number_of(traffic, "lost") > 0 ? Tone::bad : Tone::plain);
  }

  void step_line(std::size_t index, bool is_last) {
    const Json& step = steps()[index];
    const std::uint64_t all = number_of(step, "instances");
    const std::uint64_t moved = std::min(all, number_of(step, "moved"));
    const std::string state = text_of(step, "state");
    const std::string word = state == "current" ? text_of(progress_, "step_phase") : state;
    ScreenLine line{{std::string(is_last ? signs_.last : signs_.branch), Tone::faint},
                    {padded(shown(step, "name"), name_columns_) + "  ", Tone::strong},
                    {fmt::format("{:<10} ", shown_text(word)), tone_of(state)}};
    if (all > 0) {
      const std::size_t full = kBarSteps * moved / all;
      const std::string phase = text_of(progress_, "phase");
      const bool is_back = phase == "undoing" || phase == "undone" || phase == "failed";
      line.push_back({fmt::format("[{}{}] {}/{} {}", std::string(full, '#'),
                                  std::string(kBarSteps - full, '.'), moved, all,
                                  is_back ? "back" : "moved")});
      for (const auto& [name, tone] : {std::pair{"moving", Tone::busy},
                                       {"failed", Tone::bad},
                                       {"silent", Tone::bad},
                                       {"skipped", Tone::faint}}) {
        if (const auto count = number_of(step, name); count > 0)
          line.push_back({fmt::format(", {} {}", count, name), tone});
      }
    }
    if (text_of(step, "kind") == "canary") {
      line.push_back({fmt::format("{}{} of new connections", all > 0 ? ", " : "",
                                  traffic::share_text(
                                      static_cast<std::uint32_t>(number_of(step, "share_ppm")))),
                      Tone::faint});
    }
    add(std::move(line));
  }

  // Gates and shares: lines that begin with an empty piece go on with the one before.
  [[nodiscard]] std::vector<ScreenLine> of_current_step() const {
    std::vector<ScreenLine> lines;
    for (const auto& gate : list_of(progress_, "gates")) {
      const std::string verdict = text_of(gate, "verdict");
      const std::string head =
          fmt::format("gate {} {}: ", shown(gate, "name"), shown_text(verdict));
      bool is_first = true;
      for (auto& line : wrapped(head + shown(gate, "text"), 6)) {
        const Tone tone = verdict == "wait" ? Tone::plain : tone_of(verdict);
        if (is_first) {
          lines.push_back({{std::move(line), tone}});
        } else {
          lines.push_back({{""}, {"  " + line, tone}});
        }
        is_first = false;
      }
    }
    for (const auto& share : list_of(progress_, "shares")) lines.push_back({{share_line(share)}});
    return lines;
  }

  // As many steps as fit, the present one among them.
  void choose_steps(std::size_t used) {
    end_ = steps().size();
    if (view_.rows == 0 || used + end_ <= view_.rows) return;
    const std::size_t room = view_.rows > used + 3 ? view_.rows - used - 2 : 1;
    first_ = current_ > room / 2 ? current_ - room / 2 : 0;
    first_ = std::min(first_, end_ - std::min(end_, room));
    end_ = std::min(end_, first_ + room);
  }

  void choose_instances(std::size_t used) {
    used += end_ - first_ + (first_ > 0 ? 1 : 0) + (end_ < steps().size() ? 1 : 0);
    std::size_t room = view_.rows == 0 ? SIZE_MAX : view_.rows - std::min(view_.rows, used);
    rows_of_.assign(steps().size(), 0);
    std::vector<std::size_t> order;
    for (std::size_t i = first_; i < end_; ++i) order.push_back(i);
    const auto away = [this](std::size_t i) { return i > current_ ? i - current_ : current_ - i; };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return away(a) < away(b); });
    for (const std::size_t step : order) {
      rows_of_[step] =
          std::min(room, below_[step].size() + (hidden(step, below_[step].size()) > 0 ? 1 : 0));
      room -= rows_of_[step];
    }
  }

  // Of the step's instances, if so many are shown.
  [[nodiscard]] std::size_t hidden(std::size_t step, std::size_t shown_count) const {
    const std::size_t all =
        std::max<std::size_t>(number_of(steps()[step], "instances"), below_[step].size());
    return below_[step].empty() ? 0 : all - shown_count;
  }

  [[nodiscard]] std::vector<ScreenLine> instance_lines(std::size_t step) const {
    std::vector<ScreenLine> lines;
    std::vector<const Json*> shown_here = below_[step];
    std::size_t count = shown_here.size();
    const std::size_t rows = rows_of_[step];
    if (rows == 0) return lines;
    if (rows < count + (hidden(step, count) > 0 ? 1 : 0)) {
      count = rows - 1;
      // Who is well or waits for its turn makes room first.
      std::stable_partition(shown_here.begin(), shown_here.end(), [](const Json* one) {
        return !is_settled_word(text_of(*one, "standing"));
      });
    }
    for (std::size_t i = 0; i < count; ++i) lines.push_back(instance_line(*shown_here[i]));
    if (const std::size_t rest = hidden(step, count); rest > 0) {
      lines.push_back({{fmt::format("({} more)", rest), Tone::faint}});
    }
    return lines;
  }

  [[nodiscard]] ScreenLine instance_line(const Json& instance) const {
    const std::string standing = text_of(instance, "standing");
    const std::uint64_t since = number_of(instance, "since_ms");
    const bool is_settled = is_settled_word(standing);
    std::string text;
    if (const auto revision = number_of(instance, "revision"); revision > 0) {
      text = fmt::format("revision {}, {}", revision,
                         control::counted(number_of(instance, "connections"), "connection"));
    }
    if (!is_settled && since > 0 && view_.now_ms > since) {
      text += fmt::format("{}for {}", text.empty() ? "" : ", ", span_text(view_.now_ms - since));
    }
    if (const std::string handoff = handoff_text(instance); !handoff.empty())
      text += "; " + handoff;
    const std::string said = shown(instance, "text");
    if (!is_settled && !said.empty()) text += (text.empty() ? "" : ": ") + said;
    return {{padded(host_of(instance), host_columns_) + "  "},
            {fmt::format("{:<11} ", instance_stage(instance)), tone_of(standing)},
            {std::move(text)}};
  }

  const Json& progress_;
  const TreeView& view_;
  const Signs& signs_;
  std::size_t current_ = 0;
  std::size_t first_ = 0;  // of the steps that are shown
  std::size_t end_ = 0;
  std::size_t name_columns_ = 0;
  std::size_t host_columns_ = 0;
  std::vector<std::vector<const Json*>> below_;  // by step
  std::vector<std::size_t> rows_of_;             // of instances, by step
  std::vector<ScreenLine> lines_;
};

}  // namespace

std::string instance_stage(const Json& instance) {
  const std::string standing = text_of(instance, "standing");
  const std::string activity = text_of(instance, "activity");
  return shown_text(standing == "moving" && !activity.empty() && activity != "idle" ? activity
                                                                                    : standing);
}

std::string handoff_text(const Json& instance) {
  const auto handoff = instance.find("handoff");
  if (handoff == instance.end() || !handoff->is_object()) return "";
  return fmt::format("moved {}, lost {}, blackout {}",
                     control::with_thousands(number_of(*handoff, "connections")),
                     control::with_thousands(number_of(*handoff, "lost")),
                     control::milliseconds_text(1'000 * number_of(*handoff, "blackout_us")));
}

std::string time_left_text(const Json& progress) {
  const auto left_ms = number_if_any(progress, "remaining_ms");
  return left_ms ? fmt::format("about {} left", span_text(*left_ms)) : "";
}

std::string phase_text(const Json& progress) {
  return shown(progress, "phase") + (is_set(progress, "paused") ? ", paused" : "") +
         (is_set(progress, "stopped") ? ", stopped for an emergency" : "");
}

std::size_t step_shown(const Json& progress, const Json& instance) {
  const Json& steps = list_of(progress, "steps");
  const std::size_t own = number_of(instance, "step");
  const std::size_t current = number_of(progress, "step");
  const auto is_canary = [&](std::size_t step) {
    return step < steps.size() && text_of(steps[step], "kind") == "canary";
  };
  return is_canary(own) && is_canary(current) && current > own ? current : own;
}

std::vector<ScreenLine> rollout_tree(const Json& progress, const TreeView& view) {
  return Tree(progress, view).draw();
}

}  // namespace segue::cli
