// SPDX-License-Identifier: Apache-2.0
// Who may do what.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "server/ledger.h"
#include "store/store.h"

namespace segue::server {

enum class Right {
  view,
  deploy,      // begin rollouts, pause, promote, undo
  approve,     // let steps begin that ask for it
  administer,  // hosts, tokens, people, the emergency stop's end
};
std::string_view to_string(Right right);
std::optional<Right> right_of(std::string_view word);

struct Person {
  static constexpr std::size_t kMaxRights = 10;
  static constexpr std::size_t kMaxComponents = 100;

  std::string name;
  std::vector<Right> rights;
  std::vector<std::string> components;  // that the rights are limited to; empty: all
  std::string token_digest;             // SHA-256 of the token, in hexadecimal digits
  std::uint64_t created_ms = 0;

  // Everybody may view. With somebody who is limited to components: of one of them.
  [[nodiscard]] bool may(Right right) const;
  // Of this component; empty: of the whole fleet.
  [[nodiscard]] bool may(Right right, const std::string& component) const;
  bool operator==(const Person&) const = default;
};
inline constexpr std::string_view kPeople = "people/";
std::string person_key(const std::string& name);
std::string write_record(const Person& person);
base::Result<Person> read_person(std::string_view bytes);

// Ledger and clock outlive it.
class People {
 public:
  static constexpr std::size_t kMaxPeople = 10'000;

  People(std::map<std::string, Person> known, Ledger& ledger, const os::Clock& clock);

  // Adds a person, or gives one new rights and a new token. `take` gets the token once it is
  // written down; nobody can be told it again.
  struct Wanted {
    std::vector<Right> rights;
    std::vector<std::string> components;
  };
  void set(const std::string& name, Wanted wanted, const std::string& by,
           std::function<void(base::Result<std::string>)> take);
  base::Result<void> remove(const std::string& name, const std::string& by);
  // permission_denied: nobody has that token.
  [[nodiscard]] base::Result<Person> find(const std::string& token) const;
  [[nodiscard]] const std::map<std::string, Person>& all() const { return people_; }

 private:
  [[nodiscard]] bool is_last(const std::string& name) const;

  std::map<std::string, Person> people_;
  std::map<std::string, std::string> names_;  // by token_digest
  Ledger& ledger_;
  const os::Clock& clock_;
};

}  // namespace segue::server
