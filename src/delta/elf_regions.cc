// SPDX-License-Identifier: Apache-2.0
#include "delta/elf_regions.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

namespace segue::delta {

namespace {

struct Section {
  std::string_view name;
  Elf64_Shdr header{};
};

template <class T>
std::optional<T> read_at(ByteView file, std::uint64_t offset) {
  if (offset > file.size() || sizeof(T) > file.size() - offset) return std::nullopt;
  T value;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

std::string_view name_at(ByteView names, std::uint32_t offset) {
  if (offset >= names.size()) return {};
  const std::string_view rest = text_of(names.subspan(offset));
  return rest.substr(0, rest.find('\0'));
}

// Those that have addresses, by address; none when the file is not what this can work on.
std::vector<Section> sections_of(ByteView file) {
  const auto header = read_at<Elf64_Ehdr>(file, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64 || header->e_shentsize != sizeof(Elf64_Shdr) ||
      file.size() > UINT32_MAX) {
    return {};
  }
  const auto section = [&](std::uint64_t number) {
    return read_at<Elf64_Shdr>(file, header->e_shoff + number * sizeof(Elf64_Shdr));
  };
  const auto names_header = section(header->e_shstrndx);
  if (!names_header || names_header->sh_offset > file.size() ||
      names_header->sh_size > file.size() - names_header->sh_offset) {
    return {};
  }
  const ByteView names = file.subspan(names_header->sh_offset, names_header->sh_size);
  std::vector<Section> sections;
  for (std::uint64_t i = 0; i < header->e_shnum; ++i) {
    const auto found = section(i);
    if (!found) return {};
    const bool has_bytes = found->sh_type != SHT_NOBITS;
    if ((found->sh_flags & SHF_ALLOC) == 0 || (!has_bytes && (found->sh_flags & SHF_TLS) != 0)) {
      continue;
    }
    if (has_bytes &&
        (found->sh_offset > file.size() || found->sh_size > file.size() - found->sh_offset)) {
      return {};
    }
    sections.push_back({name_at(names, found->sh_name), *found});
  }
  std::stable_sort(sections.begin(), sections.end(), [](const Section& left, const Section& right) {
    return left.header.sh_addr < right.header.sh_addr;
  });
  return sections;
}

RegionKind kind_of(const Section& section, bool is_go) {
  if (section.header.sh_type == SHT_NOBITS) return RegionKind::absent;
  if ((section.header.sh_flags & SHF_EXECINSTR) != 0) return RegionKind::x86_64;
  if (section.header.sh_type == SHT_RELA) return RegionKind::relocations;
  if (section.header.sh_type == SHT_DYNSYM) return RegionKind::symbols;
  if (section.name == ".eh_frame_hdr") return RegionKind::frame_header;
  if (section.name == ".eh_frame") return RegionKind::frames;
  if (section.name == ".gopclntab") return RegionKind::go_functions;
  if (section.name == ".go.module") return RegionKind::go_module;
  if (section.name == ".typelink") return RegionKind::go_types;
  const bool is_writable = (section.header.sh_flags & SHF_WRITE) != 0;
  if (is_writable || section.name == ".itablink" || (is_go && section.name == ".rodata")) {
    return section.name == ".noptrdata" ? RegionKind::plain : RegionKind::words64;
  }
  return RegionKind::plain;
}

Region region_of(const Section& section, RegionKind kind) {
  return {.kind = kind,
          .base_offset = kind == RegionKind::absent ? 0 : section.header.sh_offset,
          .base_size = section.header.sh_size,
          .base_address = section.header.sh_addr};
}

}  // namespace

ProgramPair pair_elf_programs(ByteView base, ByteView target) {
  const std::vector<Section> base_sections = sections_of(base);
  const std::vector<Section> target_sections = sections_of(target);
  std::map<std::string_view, const Section*> by_name;
  for (const Section& section : target_sections) by_name.emplace(section.name, &section);
  const bool is_go = by_name.contains(".gopclntab");
  ProgramPair pair;
  for (const Section& section : base_sections) {
    const auto found = by_name.find(section.name);
    if (found == by_name.end() || pair.regions.size() == kMaxRegions) continue;
    const RegionKind kind = kind_of(section, is_go);
    if (kind_of(*found->second, is_go) != kind) continue;
    Region region = region_of(section, kind);
    region.target_address = found->second->header.sh_addr;
    // Of what has no bytes, the place does not matter.
    region.target_offset = kind == RegionKind::absent
                               ? region.base_offset + region.target_address - region.base_address
                               : found->second->header.sh_offset;
    pair.regions.push_back(region);
    pair.target_regions.push_back(region_of(*found->second, kind));
    by_name.erase(found);
  }
  std::stable_sort(pair.target_regions.begin(), pair.target_regions.end(),
                   [](const Region& left, const Region& right) {
                     return left.base_address < right.base_address;
                   });
  return pair;
}

Bytes with_labels(ByteView file, const std::vector<Region>& regions,
                  const std::vector<Field>& fields) {
  constexpr std::uint64_t kLabelBytes = 24;
  Bytes blank(file.begin(), file.end());
  for (const Field& field : fields)
    std::fill_n(blank.begin() + field.at, field.size, std::uint8_t{0});
  Bytes labelled = blank;
  for (const Field& field : fields) {
    const std::uint64_t address = address_in(field, file, regions);
    const Region* region = region_of_address(regions, address);
    std::uint32_t label = 0x5ea6;
    if (region != nullptr && region->kind != RegionKind::absent) {
      const std::uint64_t at = region->base_offset + (address - region->base_address);
      const std::uint64_t end = std::min<std::uint64_t>(at + kLabelBytes, blank.size());
      for (std::uint64_t i = at; i < end; ++i) {
        label = (label ^ blank[static_cast<std::size_t>(i)]) * 16777619U;
      }
    }
    store_u32(labelled.data() + field.at, label ^ (label >> 15));
  }
  return labelled;
}

}  // namespace segue::delta
