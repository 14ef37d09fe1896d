// SPDX-License-Identifier: Apache-2.0
#include "tree/attributes.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kMaxRaces = 8;  // somebody goes on adding attributes while they are listed

// flistxattr and fgetxattr say how much room they need, which may have grown until it is there.
template <class Call>
Result<std::string> read_growing(Call call, const Beneath& beneath, std::string_view path) {
  for (int attempt = 0; attempt < kMaxRaces; ++attempt) {
    const ssize_t needed = call(nullptr, 0);
    if (needed < 0 && errno == ENOTSUP) return std::string();
    if (needed < 0) return fail(beneath.error("read attributes of", path, errno));
    std::string bytes(static_cast<std::size_t>(needed), '\0');
    const ssize_t got = call(bytes.data(), bytes.size());
    if (got < 0 && errno == ERANGE) continue;
    if (got < 0) return fail(beneath.error("read attributes of", path, errno));
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
  }
  return fail(ErrorCode::aborted, "{}/{}: attributes change while they are read",
              shown(beneath.directory()), shown(path));
}

}  // namespace

bool is_kept(std::string_view name) {
  return name.starts_with("user.") || name == "security.capability" ||
         name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

Result<std::vector<delta::ExtendedAttribute>> read_attributes(int fd, const Beneath& beneath,
                                                              std::string_view path) {
  SEGUE_ASSIGN(
      const std::string names,
      read_growing([fd](char* room, std::size_t size) { return ::flistxattr(fd, room, size); },
                   beneath, path));
  std::vector<delta::ExtendedAttribute> attributes;
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find('\0', begin), names.size());
    std::string name = names.substr(begin, end - begin);
    begin = end + 1;
    if (!is_kept(name)) continue;
    SEGUE_ASSIGN(std::string value, read_growing(
                                        [&](char* room, std::size_t size) {
                                          return ::fgetxattr(fd, name.c_str(), room, size);
                                        },
                                        beneath, path));
    attributes.push_back({.name = std::move(name), .value = std::move(value)});
  }
  std::ranges::sort(attributes, {}, &delta::ExtendedAttribute::name);
  return attributes;
}

Result<void> write_attributes(int fd, const std::vector<delta::ExtendedAttribute>& attributes,
                              const Beneath& beneath, std::string_view path) {
  // An access list may take away the right to write, which user.* needs (xattr(7)): backwards these
  // come first.
  for (auto next = attributes.rbegin(); next != attributes.rend(); ++next) {
    const auto& [name, value] = *next;
    if (!is_kept(name)) {
      return fail(ErrorCode::invalid_argument, "{}/{}: attribute '{}' is not one that trees keep",
                  shown(beneath.directory()), shown(path), shown(name));
    }
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0) {
      return fail(beneath.error(fmt::format("set attribute {} of", shown(name)), path, errno));
    }
  }
  return {};
}

}  // namespace segue::tree
