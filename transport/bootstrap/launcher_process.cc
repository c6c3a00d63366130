#include "transport/bootstrap/launcher_process.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace weft::bootstrap {
namespace {

std::optional<std::string> read_proc(int process, const char* name) {
  std::ifstream file("/proc/" + std::to_string(process) + "/" + name, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// 0 if there is none, or it is not shown. The second field is the program's name, which may hold anything.
int parent_of(int process) {
  const auto stat = read_proc(process, "stat");
  const std::size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  constexpr std::size_t kState = 3;  // ") S"
  if (name_end == std::string::npos || name_end + kState >= stat->size()) return 0;
  return std::atoi(stat->c_str() + name_end + kState);
}

}  // namespace

bool has_entry(std::string_view environment, std::string_view entry) {
  while (!environment.empty()) {
    const std::string_view next = environment.substr(0, environment.find('\0'));
    if (next == entry) return true;
    environment.remove_prefix(std::min(environment.size(), next.size() + 1));
  }
  return false;
}

int launcher_process(std::span<const char* const> rank_variables) {
  std::vector<std::string> entries;
  for (const char* name : rank_variables) {
    const char* value = std::getenv(name);
    if (value != nullptr) entries.push_back(std::string(name) + "=" + value);
  }
  int process = ::getppid();
  constexpr int kDeepest = 64;  // processes come and go while this reads: a bound instead of a proof
  for (int depth = 0; depth < kDeepest; ++depth) {
    const auto environment = read_proc(process, "environ");
    const bool is_wrapper =
        environment && std::any_of(entries.begin(), entries.end(),
                                   [&](const auto& entry) { return has_entry(*environment, entry); });
    const int parent = is_wrapper ? parent_of(process) : 0;
    if (parent <= 0) break;
    process = parent;
  }
  return process;
}

}  // namespace weft::bootstrap
