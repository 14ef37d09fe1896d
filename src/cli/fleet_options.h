// SPDX-License-Identifier: Apache-2.0
// What the command line says to the server of a fleet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::cli {

struct FleetOptions {
  std::string profile;  // a file; empty: $SEGUE_PROFILE, or the one of a server on this host
  std::string file = "segue.yaml";
  std::string component;  // of the file; empty: all
  std::string title;
  // deploy: who signs what it deploys
  std::vector<std::string> signers;  // files of private keys
  std::string passphrase_file;
  std::string signatures;        // a file that others have signed
  std::string write_signatures;  // … that is made, and nothing is deployed
  std::string rollout;
  std::string why;
  bool all = false;
  bool follow = false;
  bool log = false;  // rollout watch: lines, on a terminal, too
  std::string host;
  bool off = false;
  bool canary = false;        // logs: of that slot alone
  std::uint32_t lines = 100;  // … the last so many, of each instance
  bool force = false;
  std::string site;
  bool relay = false;
  std::uint32_t uses = 1;
  std::uint32_t lifetime_s = 3'600;

  // What happened
  bool fleet = false;  // events, history: not of a component on this host
  std::string object;
  std::uint32_t count = 50;  // of the audit log, the last; 0: all
  std::string expect;        // a digest that was written down
  std::string store;         // audit: as store::parse_location(); empty: asks the server
  // People and webhooks
  std::string person;
  std::vector<std::string> rights;
  std::vector<std::string> components;  // that they are limited to
  std::vector<std::string> keys;        // files of public keys that they sign with
  std::string write;                    // where the profile goes; empty: the token is printed
  std::string webhook;
  std::string url;
  std::vector<std::string> kinds;
};

}  // namespace segue::cli
