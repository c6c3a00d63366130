#include "transport/engine/device_distance.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>

#include "transport/engine/pci_path.h"

namespace weft::engine {
namespace {

constexpr int kMostNodes = 1024;  // of Linux

std::string first_line(const std::string& file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  return line;
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0-3,8": as the kernel writes lists of CPUs. What cannot be read counts as none.
std::set<int> parse_cpu_list(std::string_view text) {
  std::set<int> cpus;
  while (!text.empty()) {
    const std::string_view range = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), range.size() + 1));
    const std::size_t dash = range.find('-');
    const auto first = number(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(range.substr(dash + 1));
    if (!first || !last || *last - *first >= CPU_SETSIZE) return {};
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

int numa_node(const std::string& pci_path) {
  return pci_path.empty() ? -1 : number(first_line(pci_path + "/numa_node")).value_or(-1);
}

// The nodes on whose processors this thread may run; empty where that is every node that has some.
std::set<int> home_nodes(const std::string& sys) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {};
  std::set<int> home;
  bool all = true;
  for (int node = 0; node < kMostNodes; ++node) {
    const std::set<int> cpus =
        parse_cpu_list(first_line(sys + "/devices/system/node/node" + std::to_string(node) + "/cpulist"));
    if (cpus.empty()) continue;
    const bool is_home = std::any_of(cpus.begin(), cpus.end(), [&](int cpu) {
      return cpu < CPU_SETSIZE && CPU_ISSET(static_cast<unsigned>(cpu), &allowed) != 0;
    });
    if (is_home) home.insert(node);
    all &= is_home;
  }
  return all ? std::set<int>{} : home;
}

// "00000000:3B:00.0", as nvidia-smi writes it, in the kernel's words: "0000:3b:00.0".
std::string kernel_address(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'F') letter = static_cast<char>(letter - 'A' + 'a');
  while (text.find(':') > 4 && text.front() == '0') text.erase(0, 1);
  return text;
}

std::vector<bool> none_of(std::size_t devices) {
  return std::vector<bool>(devices, false);
}

// Where all that are known would stand by, nothing is near, and none does.
std::vector<bool> unless_all(std::vector<bool> far, std::span<const std::string> pci_paths) {
  for (std::size_t i = 0; i < far.size(); ++i)
    if (!far[i] && !pci_paths[i].empty()) return far;
  return none_of(far.size());
}

}  // namespace

Distance distance(const std::string& pci_path, const std::string& other) {
  // .../pci0000:3a/0000:3a:00.0/0000:3b:00.0: host bridge, root port, and what is behind it.
  bool share_root_port = false;
  const std::string_view a = pci_path, b = other;
  for (std::size_t at = 0; at < a.size() && at < b.size();) {
    const std::string_view component = a.substr(at, a.find('/', at) - at);
    if (component != b.substr(at, b.find('/', at) - at)) break;
    share_root_port |= is_pci_function(component);
    at += component.size() + 1;
  }
  if (share_root_port) return Distance::kSwitch;
  const int node = numa_node(pci_path);
  return node >= 0 && node == numa_node(other) ? Distance::kNode : Distance::kSystem;
}

Result<std::vector<bool>> find_far_devices(const std::string& near, std::span<const std::string> pci_paths,
                                           const std::string& sys) {
  std::vector<bool> far = none_of(pci_paths.size());
  if (near == "off") return far;
  if (near == "auto") {
    const std::set<int> home = home_nodes(sys);
    for (std::size_t i = 0; i < far.size() && !home.empty(); ++i) {
      const int node = numa_node(pci_paths[i]);
      far[i] = node >= 0 && !home.contains(node);
    }
    return unless_all(std::move(far), pci_paths);
  }
  const std::string center = pci_function_of(sys + "/bus/pci/devices/" + kernel_address(near));
  if (center.empty()) {
    return Status(
        StatusCode::kBadConfiguration,
        "WEFT_NEAR=" + near + ": this host has no such PCI device; lspci -D lists those that it has");
  }
  Distance least = Distance::kSystem;
  for (const std::string& path : pci_paths)
    if (!path.empty()) least = std::min(least, distance(path, center));
  for (std::size_t i = 0; i < far.size(); ++i)
    far[i] = !pci_paths[i].empty() && distance(pci_paths[i], center) > least;
  return far;
}

bool is_near_wish(const std::string& text) {
  return text == "auto" || text == "off" || is_pci_function(text);
}

}  // namespace weft::engine
