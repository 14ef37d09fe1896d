// SPDX-License-Identifier: Apache-2.0
#include "server/people.h"

#include <algorithm>
#include <utility>

#include "control/name.h"
#include "crypto/digest.h"
#include "fleet/layout.h"
#include "fleet/words.h"
#include "os/random.h"
#include "server/documents.h"
#include "tuf/metadata.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kTokenDigits = 40;
constexpr std::string_view kTokenFormat = "segue-person-1.";
constexpr std::size_t kMaxPersonBytes = 65'536;
constexpr std::uint64_t kPersonFormat = 3;   // with keys
constexpr std::uint64_t kKeylessFormat = 2;  // without, as programs before this one write it

constexpr fleet::Words<Right, 5> kRights = {{{Right::view, "view"},
                                             {Right::deploy, "deploy"},
                                             {Right::approve, "approve"},
                                             {Right::sign, "sign"},
                                             {Right::administer, "administer"}}};

std::string digest_of(const std::string& token) {
  return crypto::to_hex(crypto::digest_of(token));
}

// As format 1 had it: nobody was limited to components.
struct FirstPerson {
  Person person;
};

}  // namespace

std::string_view to_string(Right right) {
  return fleet::word_of(kRights, right);
}
std::optional<Right> right_of(std::string_view word) {
  return fleet::value_of(kRights, word);
}

}  // namespace segue::server

namespace segue::fleet {

template <>
struct Layout<server::SigningKey> {
  static void visit(auto& archive, auto& key) {
    archive("id", key.id);
    archive("pem", key.pem);
  }
};

template <>
struct Layout<server::Person> {
  static void visit(auto& archive, auto& person) {
    archive("name", person.name);
    archive("rights", person.rights, server::Person::kMaxRights);
    archive("components", person.components, server::Person::kMaxComponents);
    archive("token_digest", person.token_digest);
    archive("created_ms", person.created_ms);
    archive.if_any("keys", person.keys, server::Person::kMaxKeys);
  }
};

template <>
struct Layout<server::FirstPerson> {
  static void visit(auto& archive, auto& first) {
    archive("name", first.person.name);
    archive("rights", first.person.rights, server::Person::kMaxRights);
    archive("token_digest", first.person.token_digest);
    archive("created_ms", first.person.created_ms);
  }
};

}  // namespace segue::fleet

namespace segue::server {

bool Person::may(Right right) const {
  return right == Right::view || std::ranges::find(rights, right) != rights.end();
}

bool Person::may(Right right, const std::string& component) const {
  const bool is_within =
      components.empty() || std::ranges::find(components, component) != components.end();
  return may(right) && (right == Right::view || is_within);
}

std::string person_key(const std::string& name) {
  return fmt::format("{}{}", kPeople, name);
}
std::string write_record(const Person& person) {
  return fleet::write_document("segue_person", person.keys.empty() ? kKeylessFormat : kPersonFormat,
                               person);
}
Result<Person> read_person(std::string_view bytes) {
  auto person = fleet::read_document<Person>("segue_person", kPersonFormat, bytes, kMaxPersonBytes,
                                             "a person");
  if (person || person.error().code() != ErrorCode::failed_precondition) return person;
  auto keyless = fleet::read_document<Person>("segue_person", kKeylessFormat, bytes,
                                              kMaxPersonBytes, "a person");
  if (keyless || keyless.error().code() != ErrorCode::failed_precondition) return keyless;
  auto first =
      fleet::read_document<FirstPerson>("segue_person", 1, bytes, kMaxPersonBytes, "a person");
  if (!first) return person;
  return std::move(first->person);
}

Result<SigningKey> signing_key_of(std::string_view pem) {
  if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument,
                "it is a private key, which stays with who has it: give its public half, FILE.pub");
  }
  SEGUE_ASSIGN(const auto key, crypto::PublicKey::from_pem(pem));
  return SigningKey{tuf::Key::of(key).id, key.pem()};
}

People::People(std::map<std::string, Person> known, Ledger& ledger, const os::Clock& clock)
    : people_(std::move(known)), ledger_(ledger), clock_(clock) {
  for (const auto& [name, person] : people_) names_[person.token_digest] = name;
}

void People::set(const std::string& name, Wanted wanted, const std::string& by,
                 std::function<void(Result<std::string>)> take) {
  if (const auto named = control::check_name(name, "a person"); !named) {
    return take(fail(named.error()));
  }
  if (!people_.contains(name) && people_.size() >= kMaxPeople) {
    return take(fail(ErrorCode::resource_exhausted, "{} people are known already", kMaxPeople));
  }
  if (const auto theirs = check_keys(name, wanted.keys); !theirs) {
    return take(fail(theirs.error()));
  }
  const std::string token = fmt::format("{}{}", kTokenFormat, os::random_hex(kTokenDigits));
  const Person person{.name = name,
                      .rights = std::move(wanted.rights),
                      .components = std::move(wanted.components),
                      .token_digest = digest_of(token),
                      .created_ms = milliseconds_of(clock_.realtime_now()),
                      .keys = std::move(wanted.keys)};
  if (is_last(name) && !person.may(Right::administer)) {
    return take(fail(ErrorCode::failed_precondition, "'{}' is the last who may administer", name));
  }
  if (const auto old = people_.find(name); old != people_.end()) {
    names_.erase(old->second.token_digest);
  }
  people_[name] = person;
  names_[person.token_digest] = name;
  std::string words;
  for (const Right right : person.rights) words += fmt::format(" {}", to_string(right));
  for (const auto& component : person.components) words += fmt::format(" of {}", component);
  for (const auto& key : person.keys) words += fmt::format(" with key {}", key.id);
  store::Transaction transaction;
  transaction.put(person_key(name), write_record(person));
  ledger_.write(std::move(transaction), {{by, "person.set", name, "may" + words}},
                [take = std::move(take), token](store::Revision) { take(token); });
}

Result<void> People::remove(const std::string& name, const std::string& by) {
  const auto found = people_.find(name);
  if (found == people_.end()) return fail(ErrorCode::not_found, "there is nobody '{}'", name);
  if (is_last(name)) {
    return fail(ErrorCode::failed_precondition, "'{}' is the last who may administer", name);
  }
  names_.erase(found->second.token_digest);
  people_.erase(found);
  store::Transaction transaction;
  transaction.erase(person_key(name));
  ledger_.write(std::move(transaction), {{by, "person.remove", name, ""}}, nullptr);
  return {};
}

Result<void> People::check_keys(const std::string& name,
                                const std::vector<SigningKey>& keys) const {
  for (const auto& key : keys) {
    for (const auto& [other, person] : people_) {
      if (other == name || std::ranges::find(person.keys, key) == person.keys.end()) continue;
      return fail(ErrorCode::already_exists,
                  "'{}' has the key {} already: each person has keys of their own", other, key.id);
    }
  }
  return {};
}

// Whether nobody but this person may administer.
bool People::is_last(const std::string& name) const {
  const auto administers = [](const auto& entry) { return entry.second.may(Right::administer); };
  const auto found = people_.find(name);
  return found != people_.end() && administers(*found) &&
         std::ranges::count_if(people_, administers) == 1;
}

Result<Person> People::find(const std::string& token) const {
  const auto name = names_.find(digest_of(token));
  if (name != names_.end()) return people_.at(name->second);
  return fail(ErrorCode::permission_denied,
              "the token is nobody's: log in again, or ask for a new one");
}

}  // namespace segue::server
