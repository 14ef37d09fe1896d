// SPDX-License-Identifier: Apache-2.0
#include "service/compose_keys.h"

#include <array>
#include <utility>

namespace segue::service {
namespace {

// What has no equal. Most of it would change what runs if it were left out in silence.
constexpr std::array<std::pair<const char*, const char*>, 68> kRefused = {{
    {"<<", "merge keys are not followed: write the values here"},
    {"annotations", "nothing reads them here"},
    {"attach", "what a component prints is kept by Segue"},
    {"blkio_config", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"build", "nothing is built here: publish the image and name it in 'image'"},
    {"entrypoint", "the image's entrypoint stays: make an image with another, or use 'command'"},
    {"user", "the image's user stays: make an image with another"},
    {"working_dir", "the image's directory stays: make an image with another"},
    {"privileged", "a component is given single capabilities: 'cap_add'"},
    {"networks", "a component is on one network: 'network_mode: bridge', 'host' or 'none'"},
    {"links", "names are not given to addresses: write the address into the environment"},
    {"external_links", "names are not given to addresses: write the address"},
    {"extra_hosts", "names are not given to addresses: write the address"},
    {"hostname", "a container's name is its component's"},
    {"domainname", "a container's name is its component's"},
    {"mac_address", "the engine gives addresses"},
    {"dns", "the host's resolver is used"},
    {"dns_opt", "the host's resolver is used"},
    {"dns_search", "the host's resolver is used"},
    {"tmpfs", "there are only directories of the host: 'volumes'"},
    {"shm_size", "the engine's size stays"},
    {"volumes_from", "name the directories in 'volumes'"},
    {"storage_opt", "there are only directories of the host: 'volumes'"},
    {"configs", "name the file in 'volumes', read only"},
    {"devices", "a component has no devices of the host"},
    {"device_cgroup_rules", "a component has no devices of the host"},
    {"gpus", "a component has no devices of the host"},
    {"sysctls", "a component does not change the kernel's settings"},
    {"security_opt", "a component keeps the engine's own rules"},
    {"credential_spec", "of Windows"},
    {"isolation", "of Windows"},
    {"group_add", "the image's groups stay"},
    {"pid", "a component has its own processes"},
    {"ipc", "a component has its own memory segments"},
    {"uts", "a component has its own host name"},
    {"userns_mode", "a component keeps the engine's own rules"},
    {"cgroup_parent", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cgroup", "a component has a group of its own"},
    {"cpu_shares", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpuset", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_rt_runtime", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_rt_period", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_quota", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_period", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_percent", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"cpu_count", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"mem_reservation", "limits are 'cpus', 'mem_limit' and 'pids_limit'"},
    {"memswap_limit", "swap is never added to the limit"},
    {"mem_swappiness", "swap is never added to the limit"},
    {"oom_kill_disable", "a component that passes its limit is ended"},
    {"oom_score_adj", "a component that passes its limit is ended"},
    {"init", "make an image with an init as its entrypoint"},
    {"tty", "a component has no terminal"},
    {"stdin_open", "a component has no terminal"},
    {"logging", "what a component prints is kept by Segue"},
    {"extends", "write the values here"},
    {"profiles", "a service is deployed whole: make a file for each"},
    {"post_start", "put it into the program that 'command' starts"},
    {"pre_stop", "put it into the program that 'command' starts"},
    {"label_file", "write the labels here"},
    {"models", "write where the model is served into the environment"},
    {"provider", "a component is a container: name its 'image'"},
    {"use_api_socket", "a component does not control its engine"},
    {"platform", "the image's own platform is used"},
    {"pull_policy", "an image is fetched before it is started"},
    {"scale", "one instance of a component runs on each of its hosts"},
    {"runtime", "the engine's own runtime is used"},
    {"develop", "of people who work on it, not of what is deployed"},
}};

}  // namespace

config::Key refused_key(std::string name, std::string why, config::Findings& findings) {
  return {std::move(name), [why = std::move(why), &findings](const config::Layers& layers) {
            findings.add(layers.back(), "not taken over: " + why);
          }};
}

void add_refused_keys(config::Keys& keys, config::Findings& findings) {
  for (const auto& [name, why] : kRefused) keys.push_back(refused_key(name, why, findings));
}

bool is_extension(const std::string& name) {
  return name.starts_with("x-");
}

std::optional<std::string> read_plain(const config::Place& place, config::Findings& findings) {
  return config::read_parsed(place, findings, without_variables);
}

config::Key plain_key(std::string name, std::string& value, config::Findings& findings) {
  return {std::move(name), [&value, &findings](const config::Layers& layers) {
            if (auto read = read_plain(layers.back(), findings)) value = *std::move(read);
          }};
}

}  // namespace segue::service
