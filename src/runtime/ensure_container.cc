// SPDX-License-Identifier: Apache-2.0
#include "runtime/ensure_container.h"

#include <fmt/format.h>

#include <utility>

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string label_of(const Labels& labels, std::string_view name) {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? std::string() : found->second;
}

// Look; make what is missing; look at what was made. Somebody may make it in between, or the
// engine may die after it has done it: then the second look finds it.
class EnsureCall final : public Call {
 public:
  EnsureCall(ContainerEngine& engine, ContainerSpec spec, OnAnswer<Ensured> on_answer)
      : engine_(engine), spec_(std::move(spec)), on_answer_(std::move(on_answer)) {}

  void look() {
    step_ = engine_.inspect_container(
        spec_.name, [this](Result<ContainerState> found) { looked(std::move(found)); });
  }

 private:
  void looked(Result<ContainerState> found) {
    // An engine also finds a container by the first digits of its id.
    const bool is_missing =
        found ? found->name != spec_.name : found.error().code() == ErrorCode::not_found;
    if (is_missing && !has_asked_) return create();
    if (is_missing && create_error_) return on_answer_(fail(*std::move(create_error_)));
    if (!found) return on_answer_(fail(std::move(found).error()));
    if (is_missing) {
      return on_answer_(fail(ErrorCode::aborted,
                             "container '{}' was made, and removed by somebody else", spec_.name));
    }
    auto adoption = judge(spec_, *found);
    if (!adoption) return on_answer_(fail(std::move(adoption).error()));
    const bool is_new = has_asked_ && !create_error_ && *adoption == Adoption::adopted;
    on_answer_(Ensured{is_new ? Adoption::created : *adoption, *std::move(found)});
  }

  void create() {
    has_asked_ = true;
    step_ = engine_.create_container(spec_, [this](const Result<std::string>& id) {
      if (!id) {
        const ErrorCode code = id.error().code();
        if (code != ErrorCode::already_exists && code != ErrorCode::unknown_outcome) {
          return on_answer_(fail(id.error()));
        }
        create_error_ = id.error();
      }
      look();
    });
  }

  ContainerEngine& engine_;
  ContainerSpec spec_;
  OnAnswer<Ensured> on_answer_;
  bool has_asked_ = false;
  std::optional<base::Error> create_error_;
  CallHandle step_;
};

class RunCall final : public Call {
 public:
  RunCall(ContainerEngine& engine, ContainerSpec spec, OnAnswer<Ensured> on_answer)
      : engine_(engine), spec_(std::move(spec)), on_answer_(std::move(on_answer)) {}

  void ensure() {
    step_ = ensure_container(engine_, spec_,
                             [this](Result<Ensured> ensured) { ensured_now(std::move(ensured)); });
  }

 private:
  void ensured_now(Result<Ensured> ensured) {
    if (!ensured) return on_answer_(fail(std::move(ensured).error()));
    if (ensured->adoption == Adoption::outdated) {
      return on_answer_(fail(ErrorCode::failed_precondition,
                             "container '{}' is there, but not as it is to be: stop and remove it",
                             spec_.name));
    }
    found_ = *std::move(ensured);
    if (found_.container.phase == ContainerPhase::running) return on_answer_(std::move(found_));
    step_ = engine_.start_container(found_.container.id,
                                    [this](Result<void> started) { started_now(started); });
  }

  void started_now(const Result<void>& started) {
    if (!started && started.error().code() == ErrorCode::internal && !is_second_) {
      is_second_ = true;
      step_ = engine_.remove_container(found_.container.id, [this](const Result<void>& removed) {
        if (!removed) return on_answer_(fail(removed.error()));
        ensure();
      });
      return;
    }
    if (!started) return on_answer_(fail(started.error()));
    step_ = engine_.inspect_container(found_.container.id, [this](Result<ContainerState> state) {
      if (!state) return on_answer_(fail(std::move(state).error()));
      found_.container = *std::move(state);
      on_answer_(std::move(found_));
    });
  }

  ContainerEngine& engine_;
  ContainerSpec spec_;
  OnAnswer<Ensured> on_answer_;
  Ensured found_;
  bool is_second_ = false;
  CallHandle step_;
};

class PruneCall final : public Call {
 public:
  PruneCall(ContainerEngine& engine, IsWanted is_wanted, OnAnswer<Pruned> on_answer)
      : engine_(engine), is_wanted_(std::move(is_wanted)), on_answer_(std::move(on_answer)) {}

  void list() {
    step_ = engine_.list_containers(
        {{std::string(kComponentLabel), ""}}, [this](Result<std::vector<ContainerSummary>> found) {
          if (!found) return on_answer_(fail(std::move(found).error()));
          for (ContainerSummary& container : *found) {
            const bool is_ours = !label_of(container.labels, kComponentLabel).empty();
            const bool is_still = container.phase == ContainerPhase::created ||
                                  container.phase == ContainerPhase::exited ||
                                  container.phase == ContainerPhase::dead;
            if (is_ours && is_still && !is_wanted_(container)) {
              left_.push_back(std::move(container));
            }
          }
          next();
        });
  }

 private:
  void next() {
    if (left_.empty()) return on_answer_(std::move(pruned_));
    step_ = engine_.remove_container(left_.back().id, [this](Result<void> removed) {
      if (removed) {
        pruned_.removed.push_back(std::move(left_.back().name));
      } else {
        pruned_.errors.push_back(std::move(removed).error());
      }
      left_.pop_back();
      next();
    });
  }

  ContainerEngine& engine_;
  IsWanted is_wanted_;
  OnAnswer<Pruned> on_answer_;
  std::vector<ContainerSummary> left_;
  Pruned pruned_;
  CallHandle step_;
};

}  // namespace

Result<Adoption> judge(const ContainerSpec& spec, const ContainerState& found) {
  const bool is_ours = label_of(found.labels, kComponentLabel) == spec.identity.component &&
                       label_of(found.labels, kSlotLabel) == spec.identity.slot;
  if (!is_ours) {
    return fail(ErrorCode::already_exists,
                "container '{}' is there already, and it is not slot '{}' of component '{}': it is "
                "left alone; remove or rename it by hand",
                found.name, spec.identity.slot, spec.identity.component);
  }
  return label_of(found.labels, kSpecLabel) == spec_digest(spec) ? Adoption::adopted
                                                                 : Adoption::outdated;
}

CallHandle ensure_container(ContainerEngine& engine, const ContainerSpec& spec,
                            OnAnswer<Ensured> on_answer) {
  auto call = std::make_unique<EnsureCall>(engine, spec, std::move(on_answer));
  call->look();
  return call;
}

CallHandle ensure_running(ContainerEngine& engine, const ContainerSpec& spec,
                          OnAnswer<Ensured> on_answer) {
  auto call = std::make_unique<RunCall>(engine, spec, std::move(on_answer));
  call->ensure();
  return call;
}

CallHandle prune_containers(ContainerEngine& engine, IsWanted is_wanted,
                            OnAnswer<Pruned> on_answer) {
  auto call = std::make_unique<PruneCall>(engine, std::move(is_wanted), std::move(on_answer));
  call->list();
  return call;
}

}  // namespace segue::runtime
