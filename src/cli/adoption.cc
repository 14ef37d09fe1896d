// SPDX-License-Identifier: Apache-2.0
#include "cli/adoption.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <csignal>
#include <sstream>

#include "control/contract.h"
#include "control/name.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kService = "Service";
constexpr std::string_view kSuffix = ".service";
constexpr std::size_t kMaxUnitNameBytes = 255;
constexpr std::string_view kMarker = "# segue adopt 1 ";
constexpr base::Duration kDefaultTimeout = std::chrono::seconds(90);  // DefaultTimeoutStartSec=
constexpr std::uint32_t kMaxSeconds = 86'400;
constexpr std::uint32_t kMaxStored = 4'096;  // --fd-store-max

// What the keeper does besides what a service may do: it passes memory and descriptors on, holds
// processes by pidfd and lets old ones end at idle priority.
constexpr const char* kKeeperCalls =
    "memfd_create pidfd_open pidfd_send_signal pidfd_getfd sched_setscheduler ioprio_set";

constexpr std::string_view kKeeperFolder = "/usr/libexec/segue";

// What has to be within reach for the keeper.
std::vector<std::string> needed_paths(const std::string& component, const std::string& segue) {
  return {segue, std::string(kKeeperFolder), "/run/segue/" + component,
          "/var/lib/segue/" + component};
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool is_within(const std::string& path, const std::string& folder) {
  if (folder == "/") return true;
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

// Nothing that systemd would read otherwise than it was meant.
Result<void> check_options(const std::vector<std::string>& options) {
  for (const auto& option : options) {
    const bool plain = std::all_of(option.begin(), option.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 ||
             std::string_view("-=_.,:/@+[]").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (plain && option.starts_with("--") && option.size() > 2) continue;
    return fail(ErrorCode::invalid_argument,
                "'{}' cannot stand in a unit as an option: write --KEY or --KEY=VALUE, of letters, "
                "digits and -=_.,:/@+[]",
                option);
  }
  return {};
}

std::string words(const std::vector<std::string>& options) {
  std::string text;
  for (const auto& option : options) text += " " + option;
  return text;
}

class Adopter {
 public:
  Adopter(const UnitFacts& facts, const UnitSettings& settings, const AdoptionOptions& options,
          std::string component)
      : facts_(facts),
        settings_(settings),
        options_(options),
        component_(std::move(component)),
        segue_(options.segue) {}

  Result<Adoption> adopt() {
    check_start();
    check_stop();
    check_surroundings();
    check_contract();
    if (!refusals_.empty()) {
      return fail(ErrorCode::failed_precondition, "{} cannot be adopted: {}", facts_.unit,
                  fmt::join(refusals_, "; "));
    }
    std::string text = drop_in();
    text = fmt::format("{}{:016x}\n", kMarker, fnv1a(text)) + text;
    return Adoption{component_, std::move(text), std::move(notes_)};
  }

 private:
  [[nodiscard]] std::string last(std::string_view key) const {
    return settings_.last(kService, key).value_or("");
  }
  [[nodiscard]] bool has(std::string_view key) const {
    return settings_.last(kService, key).has_value();
  }
  void refuse(std::string why) { refusals_.push_back(std::move(why)); }

  void check_type() {
    const std::string type = last("Type");
    static constexpr std::array<std::string_view, 6> kKept = {"",     "simple", "exec",
                                                              "idle", "notify", "notify-reload"};
    if (std::find(kKept.begin(), kKept.end(), type) != kKept.end()) return;
    if (type == "forking") {
      refuse(
          "Type=forking puts itself into the background, where the keeper would lose it: let it "
          "stay in the foreground (see its manual) with Type=simple first");
    } else if (type == "oneshot") {
      refuse("Type=oneshot ends when it is done, and has nothing to hand over");
    } else if (type == "dbus") {
      refuse("Type=dbus: a name on the bus cannot be handed over");
    } else {
      refuse("Type=" + type + " is not known");
    }
  }

  void check_start() {
    check_type();
    const auto starts = settings_.list(kService, "ExecStart");
    if (starts.size() != 1) {
      return refuse(fmt::format("it has {} ExecStart= lines, and one is needed", starts.size()));
    }
    command_ = starts.front();
    constexpr std::string_view kPrefixes = "@-:+!|";
    while (!command_.empty() && kPrefixes.find(command_.front()) != std::string_view::npos) {
      const char prefix = command_.front();
      command_.erase(0, 1);
      if (prefix == '-' || prefix == ':') {
        prefixes_ += prefix;
      } else if (prefix == '@') {
        refuse("ExecStart=@ gives the program another name for itself, which the keeper does not");
      } else {
        refuse(fmt::format("ExecStart={} runs it with other rights than the unit's", prefix));
      }
    }
    const std::size_t first = command_.find_first_not_of("\"'");
    if (first == std::string::npos || first == command_.size())
      return refuse("ExecStart= is empty");
    if (first > 0 && kPrefixes.find(command_[first]) != std::string_view::npos) {
      refuse("ExecStart= has a prefix in quotes: write it before them");
    }
    for (const auto& word : words_of(command_)) {
      if (word == ";") refuse("ExecStart= has several commands");
    }
    if (std::any_of(command_.begin(), command_.end(),
                    [](unsigned char c) { return c < ' ' && c != '\t'; })) {
      refuse("ExecStart= has control characters");
    }
  }

  // Whatever is sent to $MAINPID reaches the keeper from now on.
  void check_stop() {
    static constexpr std::array<std::string_view, 4> kTerm = {"-TERM", "-15", "-SIGTERM",
                                                              "-s TERM"};
    for (const auto& line : settings_.list(kService, "ExecStop")) {
      const std::string words = fmt::format("{}", fmt::join(words_of(line), " "));
      const bool fine = std::any_of(kTerm.begin(), kTerm.end(), [&](std::string_view term) {
        return words.ends_with(fmt::format("bin/kill {} $MAINPID", term)) ||
               words.ends_with(fmt::format("bin/kill {} ${{MAINPID}}", term));
      });
      if (fine || words.ends_with("bin/kill $MAINPID")) continue;
      refuse(fmt::format("ExecStop={} would end the program behind the keeper's back", line));
    }
    for (const std::string_view key : {"ExecStartPost", "ExecStopPost"}) {
      for (const auto& line : settings_.list(kService, key)) {
        if (line.find("MAINPID") == std::string::npos) continue;
        refuse(fmt::format("{}={} would meet the keeper instead of the program", key, line));
      }
    }
    const std::string signal = last("KillSignal");
    if (!signal.empty() && !control::parse_signal(signal)) {
      refuse(fmt::format("KillSignal={} is no signal", signal));
    }
    if (settings_.is_true(kService, "RemainAfterExit")) {
      refuse("RemainAfterExit= would hide that the keeper has ended");
    }
    if (has("ExecReload")) {
      notes_.push_back(
          fmt::format("`systemctl reload` upgrades to what ExecStart= names by then; it was: {}",
                      last("ExecReload")));
    }
    grace_s_ = seconds_of({"TimeoutStopSec", "TimeoutSec"}, 3);
    start_s_ = seconds_of({"TimeoutStartSec", "TimeoutSec"}, 1);
  }

  [[nodiscard]] bool is_given(std::string_view key) const {
    return std::any_of(options_.run_options.begin(), options_.run_options.end(),
                       [&](const auto& o) { return o.substr(0, o.find('=')) == key; });
  }
  // An option that the contract needs, or that follows from the unit, unless it was given.
  void add(std::string_view key, std::string_view value) {
    if (!is_given(key)) contract_ += fmt::format(" {}={}", key, value);
  }

  // What the program can do about its upgrade, as far as its unit shows it (docs/programs.md).
  void check_contract() {
    const std::string signal = last("KillSignal");
    if (!signal.empty() && control::parse_signal(signal).value_or(SIGTERM) != SIGTERM) {
      add("--stop-signal", signal.starts_with("SIG") ? signal.substr(3) : signal);
    }
    std::string upgrade = options_.upgrade;
    const bool says_ready = last("Type").starts_with("notify");
    if (upgrade.empty() && !is_given("--upgrade") && says_ready) upgrade = shown_contract();
    if (!upgrade.empty()) add("--upgrade", upgrade);
    const bool is_named = !upgrade.empty() || is_given("--upgrade");
    if (!is_named) {
      notes_.emplace_back(
          "the program has to link libsegue, as far as its unit shows; for any other one name its "
          "contract with --upgrade (docs/programs.md)");
    }
    if (upgrade == "signal") check_upgrade_signal();
    if (upgrade == "listeners" && !is_given("--listen")) {
      refuse(
          "--upgrade listeners: name what it listens on, as "
          "--run-option=--listen=web=tcp:127.0.0.1:8080");
    }
    if (says_ready && is_named && upgrade != "libsegue") add("--ready", "notify");
    if (const auto max = most_stored(); upgrade == "fdstore" && max > 0) {
      add("--fd-store-max", fmt::to_string(max));
    }
    check_watchdog(is_named && upgrade != "libsegue");
  }

  [[nodiscard]] std::string shown_contract() {
    const auto reloads = settings_.list(kService, "ExecReload");
    if (!reloads.empty() && kills_main(reloads.back(), "USR2")) {
      notes_.push_back(fmt::format(
          "ExecReload={} is taken for the signal by which it executes its new binary; if it only "
          "reads its configuration, name another --upgrade",
          reloads.back()));
      return "signal";
    }
    return most_stored() > 0 ? "fdstore" : "auto";
  }

  [[nodiscard]] std::uint32_t most_stored() const {
    const std::string text = last("FileDescriptorStoreMax");
    std::uint32_t max = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), max);
    if (error != std::errc() || end != text.data() + text.size()) return 0;
    return std::min(max, kMaxStored);
  }

  static bool kills_main(const std::string& line, std::string_view signal) {
    const std::string words = fmt::format("{}", fmt::join(words_of(line), " "));
    return words.ends_with(fmt::format("bin/kill -{} $MAINPID", signal)) ||
           words.ends_with(fmt::format("bin/kill -SIG{} $MAINPID", signal)) ||
           words.ends_with(fmt::format("bin/kill -s {} $MAINPID", signal));
  }

  void check_upgrade_signal() {
    const auto reloads = settings_.list(kService, "ExecReload");
    if (!reloads.empty() && kills_main(reloads.back(), "USR2")) add("--upgrade-signal", "USR2");
    if (last("Type").starts_with("notify")) add("--new-pid", "MAINPID");
    for (const std::string_view needed : {"--upgrade-signal", "--new-pid"}) {
      if (is_given(needed) || contract_.find(needed) != std::string::npos) continue;
      refuse(
          fmt::format("--upgrade signal: its unit does not show {0}: give it with "
                      "--run-option={0}=…",
                      needed));
    }
  }

  // Who watches over the program, as systemd watches over its keeper.
  void check_watchdog(bool by_keeper) {
    if (!has("WatchdogSec")) return;
    const auto span = parse_time_span(last("WatchdogSec"));
    const auto seconds =
        span ? std::chrono::duration_cast<std::chrono::seconds>(*span).count() : std::int64_t{0};
    if (by_keeper && seconds > 0 && seconds <= kMaxSeconds) {
      add("--watchdog-s", fmt::to_string(seconds));
      notes_.emplace_back("WatchdogSec= watches over the keeper, and the keeper over the program");
      return;
    }
    notes_.emplace_back(
        "WatchdogSec= watches over the keeper; the program's own words to systemd are not heard "
        "any more");
  }

  // The first of `keys` that is set, a part of it, within what the keeper takes.
  std::uint32_t seconds_of(std::initializer_list<std::string_view> keys, int parts) {
    base::Duration span = kDefaultTimeout;
    for (const auto key : keys) {
      if (!has(key)) continue;
      const auto parsed = parse_time_span(last(key));
      if (!parsed) {
        refuse(fmt::format("{}={} is no time span", key, last(key)));
        break;
      }
      // 0 is how older units say infinity.
      span = *parsed == base::Duration::zero() ? base::Duration::max() : *parsed;
      break;
    }
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(span).count() / parts;
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(whole, 1, kMaxSeconds));
  }

  void check_surroundings() {
    for (const auto& socket : facts_.sockets) {
      refuse(socket +
             " starts it and holds its listening socket: disable and mask that first, and "
             "let the program listen itself");
    }
    for (const auto& socket : settings_.list(kService, "Sockets")) {
      refuse(fmt::format("Sockets={}: its listening sockets are another unit's", socket));
    }
    if (has("BusName")) refuse("BusName=: a name on the bus cannot be handed over");
    if (settings_.is_true(kService, "DynamicUser")) {
      refuse("DynamicUser= ends with the unit, and instances outlive a keeper: give it a User=");
    }
    for (const std::string_view key : {"RootDirectory", "RootImage"}) {
      if (has(key)) refuse(fmt::format("{}= hides Segue from the program", key));
    }
    const std::string input = last("StandardInput");
    if (!input.empty() && input != "null") {
      refuse(fmt::format("StandardInput={}: under a keeper it is /dev/null", input));
    }
    check_paths();
    check_calls();
    check_user();
    for (const std::string_view key : {"MemoryMax", "MemoryHigh", "MemoryLimit", "TasksMax"}) {
      if (has(key)) {
        notes_.push_back(fmt::format(
            "{}={} holds for the old and the new version together while one is upgraded", key,
            last(key)));
      }
    }
  }

  void check_paths() {
    for (const std::string_view key :
         {"InaccessiblePaths", "TemporaryFileSystem", "InaccessibleDirectories"}) {
      for (const auto& line : settings_.list(kService, key)) {
        for (std::string folder : words_of(line)) {
          folder.erase(0, folder.find_first_not_of("-+"));
          folder = folder.substr(0, folder.find(':'));
          const auto needed = needed_paths(component_, segue_);
          const auto hidden = std::find_if(needed.begin(), needed.end(), [&](const auto& path) {
            return !folder.empty() && is_within(path, folder);
          });
          if (hidden != needed.end()) {
            refuse(fmt::format("{}={} hides {} from the keeper", key, folder, *hidden));
          }
        }
      }
    }
  }

  void check_calls() {
    const auto filters = settings_.list(kService, "SystemCallFilter");
    if (filters.empty() || filters.front().starts_with('~')) return;
    const bool wide = std::any_of(filters.begin(), filters.end(), [](const std::string& filter) {
      return !filter.starts_with('~') && filter.find("@system-service") != std::string::npos;
    });
    if (!wide) {
      refuse(
          "SystemCallFilter= allows single calls without @system-service, which the keeper needs");
    }
  }

  void check_user() {
    user_ = last("User");
    const bool plain = std::all_of(user_.begin(), user_.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '%' || c == '$';
    });
    if (!plain || user_.starts_with('-')) refuse("User=" + user_ + " is no user's name");
    if (user_.empty()) user_ = "root";
  }

  // An option that follows from the unit, unless it was given.
  [[nodiscard]] std::string own_option(const std::string& key, std::uint32_t value) const {
    return is_given(key) ? "" : fmt::format(" {}={}", key, value);
  }

  [[nodiscard]] bool restarts() const {
    const std::string restart = last("Restart");
    return !restart.empty() && restart != "no";
  }

  // A new keeper finds the instances of a dead one again, so it has to come whatever the unit says.
  [[nodiscard]] bool restarts_keeper() const {
    static constexpr std::array<std::string_view, 4> kOnSignal = {"always", "on-failure",
                                                                  "on-abnormal", "on-abort"};
    return std::find(kOnSignal.begin(), kOnSignal.end(), last("Restart")) != kOnSignal.end();
  }

  [[nodiscard]] std::string drop_in() const {
    const std::string& name = component_;
    std::string text = fmt::format(
        "# Runs {0} under Segue, as the component {1}.\n"
        "# `segue release-unit {0}` takes this file back.\n[Service]\n"
        "Type=notify\nNotifyAccess=main\nPIDFile=\n"
        "Environment=SEGUE_RUNTIME_DIR=/run/segue SEGUE_STATE_DIR=/var/lib/segue\n"
        "ExecStartPre=+/usr/bin/install -d -m 0755 /run/segue /var/lib/segue\n"
        "ExecStartPre=+/usr/bin/install -d -m 0700 -o {2} /run/segue/{1} /var/lib/segue/{1}\n"
        "ReadWritePaths=-/run/segue/{1} -/var/lib/segue/{1}\n",
        facts_.unit, name, user_);
    std::string own = own_option("--timeout", start_s_) + own_option("--grace-s", grace_s_);
    if (!restarts()) own += own_option("--max-restarts", 0);
    own += contract_;
    text += fmt::format("ExecStart=\nExecStart={}{} run --foreground{}{} {} -- {}\n", prefixes_,
                        segue_, own, words(options_.run_options), name, command_);
    text += fmt::format("ExecReload=\nExecReload={}{} upgrade{} {} -- {}\n",
                        prefixes_.find(':') == std::string::npos ? "" : ":", segue_,
                        words(options_.upgrade_options), name, command_);
    if (!settings_.list(kService, "ExecStop").empty()) text += "ExecStop=\n";
    if (!restarts_keeper()) text += "Restart=on-abnormal\n";
    if (!settings_.list(kService, "RestrictAddressFamilies").empty()) {
      text += "RestrictAddressFamilies=AF_UNIX\n";
    }
    if (!settings_.list(kService, "SystemCallFilter").empty()) {
      text += fmt::format("SystemCallFilter={}\n", kKeeperCalls);
    }
    if (!settings_.list(kService, "NoExecPaths").empty()) {
      text += fmt::format("ExecPaths={} {}\n", segue_, kKeeperFolder);
    }
    return text + "KillMode=process\nOOMPolicy=continue\nFileDescriptorStoreMax=512\n";
  }

  const UnitFacts& facts_;
  const UnitSettings& settings_;
  const AdoptionOptions& options_;
  std::string component_;
  std::string segue_;
  std::string prefixes_;
  std::string command_;
  std::string user_;
  std::string contract_;  // options of `segue run`
  std::uint32_t grace_s_ = 0;
  std::uint32_t start_s_ = 0;
  std::vector<std::string> refusals_;
  std::vector<std::string> notes_;
};

std::string file_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

// What comes after the drop-in could take back what it says.
Result<void> check_order(const UnitFacts& facts) {
  for (std::size_t i = 1; i < facts.sources.size(); ++i) {
    if (file_name(facts.sources[i].path) <= kDropInName) continue;
    return fail(
        ErrorCode::failed_precondition,
        "{} cannot be adopted: {} comes after {} and could take back what it says: give it a "
        "name that sorts before",
        facts.unit, facts.sources[i].path, kDropInName);
  }
  return {};
}

}  // namespace

Result<std::string> service_unit_name(const std::string& name) {
  std::string unit = name;
  const std::size_t dot = unit.find_last_of('.');
  static constexpr std::array<std::string_view, 9> kOthers = {
      ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".device", ".swap"};
  const std::string suffix = dot == std::string::npos ? "" : unit.substr(dot);
  if (std::find(kOthers.begin(), kOthers.end(), suffix) != kOthers.end()) {
    return fail(ErrorCode::invalid_argument, "{} is no service: only services can be adopted",
                name);
  }
  if (suffix != kSuffix) unit += kSuffix;
  const bool valid = std::all_of(unit.begin(), unit.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view(":-_.\\@").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (!valid || unit.size() > kMaxUnitNameBytes || unit.starts_with('.') || unit == kSuffix) {
    return fail(ErrorCode::invalid_argument, "'{}' is no name of a unit", name);
  }
  if (unit.find("@.") != std::string::npos) {
    return fail(ErrorCode::invalid_argument,
                "{} is a template: name one of its instances, such as {}", name,
                unit.substr(0, unit.find("@.")) + "@a.service");
  }
  return unit;
}

Result<Adoption> adopt_unit(const UnitFacts& facts, const AdoptionOptions& options) {
  SEGUE_TRY(check_options(options.run_options));
  SEGUE_TRY(check_options(options.upgrade_options));
  if (!options.upgrade.empty()) SEGUE_TRY(control::parse_contract(options.upgrade));
  std::string name = options.component;
  if (name.empty()) {
    name = facts.unit.substr(0, facts.unit.size() - kSuffix.size());
    std::replace(name.begin(), name.end(), '@', '-');
  }
  if (const auto valid = control::check_name(name); !valid) {
    return fail(base::Error(valid.error()).with("the component's name (choose one with --name)"));
  }
  SEGUE_TRY(check_order(facts));
  SEGUE_ASSIGN(const auto settings, UnitSettings::parse(facts.sources));
  return Adopter(facts, settings, options, name).adopt();
}

Authorship authorship_of(std::string_view drop_in) {
  const std::size_t end = drop_in.find('\n');
  if (!drop_in.starts_with(kMarker) || end == std::string_view::npos) return Authorship::foreign;
  const std::string digest = fmt::format("{:016x}", fnv1a(drop_in.substr(end + 1)));
  return drop_in.substr(kMarker.size(), end - kMarker.size()) == digest ? Authorship::adopted
                                                                        : Authorship::edited;
}

}  // namespace segue::cli
