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
  sign,        // what is deployed, with a key of theirs (signing.h)
  administer,  // hosts, tokens, people, the emergency stop's end
};
std::string_view to_string(Right right);
std::optional<Right> right_of(std::string_view word);

// Who has its private half signs.
struct SigningKey {
  std::string id;   // as `segue key make` says it
  std::string pem;  // the public half

  bool operator==(const SigningKey&) const = default;
};
// invalid_argument: it is no public key, or a private one.
base::Result<SigningKey> signing_key_of(std::string_view pem);

struct Person {
  static constexpr std::size_t kMaxRights = 10;
  static constexpr std::size_t kMaxComponents = 100;
  static constexpr std::size_t kMaxKeys = 8;

  std::string name;
  std::vector<Right> rights;
  std::vector<std::string> components;  // that the rights are limited to; empty: all
  std::string token_digest;             // SHA-256 of the token, in hexadecimal digits
  std::uint64_t created_ms = 0;
  std::vector<SigningKey> keys;  // of who may sign; of nobody else

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
  // written down; nobody can be told it again. already_exists: somebody else has one of the keys.
  struct Wanted {
    std::vector<Right> rights;
    std::vector<std::string> components;
    std::vector<SigningKey> keys;
  };
  void set(const std::string& name, Wanted wanted, const std::string& by,
           std::function<void(base::Result<std::string>)> take);
  base::Result<void> remove(const std::string& name, const std::string& by);
  // permission_denied: nobody has that token.
  [[nodiscard]] base::Result<Person> find(const std::string& token) const;
  [[nodiscard]] const std::map<std::string, Person>& all() const { return people_; }

 private:
  [[nodiscard]] bool is_last(const std::string& name) const;
  [[nodiscard]] base::Result<void> check_keys(const std::string& name,
                                              const std::vector<SigningKey>& keys) const;

  std::map<std::string, Person> people_;
  std::map<std::string, std::string> names_;  // by token_digest
  Ledger& ledger_;
  const os::Clock& clock_;
};

}  // namespace segue::server
