// SPDX-License-Identifier: Apache-2.0
#include "server/books.h"

#include <algorithm>
#include <array>
#include <memory>

#include "fleet/component_document.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// "chat/00000000000000000007", without the prefix.
Result<std::pair<std::string, fleet::Revision>> spec_of(std::string_view key) {
  const auto slash = key.find('/');
  fleet::Revision revision = 0;
  const std::string_view digits = slash == std::string_view::npos ? "" : key.substr(slash + 1);
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return fail(ErrorCode::data_loss, "no revision: '{}'", digits);
    revision = revision * 10 + static_cast<fleet::Revision>(digit - '0');
  }
  if (revision == 0) return fail(ErrorCode::data_loss, "no revision: '{}'", digits);
  return std::pair{std::string(key.substr(0, slash)), revision};
}

Result<void> add_spec(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(auto key, spec_of(rest));
  SEGUE_ASSIGN(auto spec, fleet::read_component(value));
  books.specs[std::move(key)] = {std::move(spec), value};
  return {};
}

// Specifications are read before their signatures.
Result<void> add_signatures(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(const auto key, spec_of(rest));
  const auto found = books.specs.find(key);
  if (found == books.specs.end()) return fail(ErrorCode::data_loss, "there is no such revision");
  SEGUE_ASSIGN(found->second.signatures, read_signatures(value));
  return {};
}

Result<void> add_rollout(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(books.rollouts[std::string(rest)].head, rollout::read_rollout(value));
  return {};
}

// Rollouts are read before their records.
Result<void> add_rollout_record(Books& books, std::string_view rest, const std::string& value) {
  const auto found = books.rollouts.find(std::string(rest.substr(0, rest.find('/'))));
  if (found == books.rollouts.end()) return {};  // of one that was removed
  SEGUE_ASSIGN(auto record, rollout::read_record(value));
  found->second.records.push_back(std::move(record));
  return {};
}

Result<void> add_assignment(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(auto instance, instance_of(fmt::format("{}{}", kAssignments, rest)));
  SEGUE_ASSIGN(books.assignments[std::move(instance)], read_record<fleet::Assignment>(value));
  return {};
}

Result<void> add_gates(Books& books, std::string_view rest, const std::string& value) {
  books.gates[std::string(rest)] = value;
  return {};
}

template <class Record>
using Member = std::map<std::string, Record> Books::*;

template <class Record, Member<Record> member>
Result<void> add_record(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN((books.*member)[std::string(rest)], read_record<Record>(value));
  return {};
}

Result<void> add_person(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(books.people[std::string(rest)], read_person(value));
  return {};
}

Result<void> add_webhook(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(books.webhooks[std::string(rest)], read_webhook(value));
  return {};
}

Result<void> add_notification(Books& books, std::string_view /*rest*/, const std::string& value) {
  SEGUE_ASSIGN(auto notification, read_notification(value));
  books.outbox[notification.number] = std::move(notification);
  return {};
}

Result<void> add_request(Books& books, std::string_view rest, const std::string& value) {
  SEGUE_ASSIGN(books.requests[std::string(rest)], read_request(value));
  return {};
}

template <class Record, Record Books::* member>
Result<void> set_record(Books& books, std::string_view /*rest*/, const std::string& value) {
  SEGUE_ASSIGN(books.*member, read_record<Record>(value));
  return {};
}

struct Shelf {
  std::string_view prefix;
  Result<void> (*add)(Books& books, std::string_view rest, const std::string& value);
};
constexpr std::array<Shelf, 15> kShelves = {{
    {kFleetKey, &set_record<FleetRecord, &Books::fleet>},
    {kAuditHead, &set_record<AuditHead, &Books::audit>},
    {kHosts, &add_record<HostRecord, &Books::hosts>},
    {kTokens, &add_record<TokenRecord, &Books::tokens>},
    {kPeople, &add_person},
    {kComponents, &add_record<ComponentRecord, &Books::components>},
    {kSpecs, &add_spec},
    {kSignatures, &add_signatures},
    {kRollouts, &add_rollout},
    {kRecords, &add_rollout_record},
    {kAssignments, &add_assignment},
    {kWebhooks, &add_webhook},
    {kOutbox, &add_notification},
    {kRequests, &add_request},
    {kGates, &add_gates},
}};

class Reader : public std::enable_shared_from_this<Reader> {
 public:
  Reader(store::Store& store, TakeBooks take) : store_(store), take_(std::move(take)) {}

  void list_next() {
    if (shelf_ == kShelves.size()) return take_(std::move(books_));
    store_.list({.prefix = std::string(kShelves.at(shelf_).prefix), .after = after_},
                [self = shared_from_this()](const Result<store::Page>& page) { self->add(page); });
  }

 private:
  void add(const Result<store::Page>& page) {
    if (!page) return take_(fail(page.error().with("read what is stored")));
    const Shelf& shelf = kShelves.at(shelf_);
    for (const auto& entry : page->entries) {
      const auto added =
          shelf.add(books_, std::string_view(entry.key).substr(shelf.prefix.size()), entry.value);
      if (!added) return take_(fail(added.error().with(fmt::format("key {}", entry.key))));
      if (entry.key == kAuditHead) books_.audit_modified = entry.modified;
    }
    books_.revision = std::max(books_.revision, page->revision);
    if (page->has_more) {
      after_ = page->entries.back().key;
    } else {
      after_.clear();
      ++shelf_;
    }
    list_next();
  }

  store::Store& store_;
  TakeBooks take_;
  Books books_;
  std::size_t shelf_ = 0;
  std::string after_;
};

bool has_label(const HostRecord& host, const std::string& label) {
  return std::ranges::find(host.labels, label) != host.labels.end();
}

}  // namespace

const Spec* Books::spec(const std::string& component, fleet::Revision number) const {
  const auto found = specs.find({component, number});
  return found == specs.end() ? nullptr : &found->second;
}

void read_books(store::Store& store, TakeBooks take) {
  std::make_shared<Reader>(store, std::move(take))->list_next();
}

bool selects(const fleet::HostSelector& selector, const HostRecord& host) {
  const auto names = [](const std::vector<std::string>& list, const std::string& name) {
    return list.empty() || std::ranges::find(list, name) != list.end();
  };
  return !host.revoked && !host.is_relay && names(selector.names, host.name) &&
         names(selector.sites, host.site) &&
         std::ranges::all_of(selector.labels,
                             [&](const std::string& label) { return has_label(host, label); });
}

}  // namespace segue::server
