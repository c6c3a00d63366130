#include "transport/engine/statistics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "weft/version.h"

namespace weft::engine {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

nlohmann::ordered_json path_json(int index, const PathStatistics& path) {
  return {{"path", index},
          {"plane", path.plane},
          {"state", path.state},
          {"local_device", path.local_device},
          {"local_address", path.local_address},
          {"peer_address", path.peer_address},
          {"bytes_sent", path.bytes_sent},
          {"bytes_received", path.bytes_received},
          {"chunks_sent", path.chunks_sent},
          {"chunks_resent", path.chunks_resent},
          {"failures", path.failures},
          {"revivals", path.revivals},
          {"smoothed_rtt_us", path.smoothed_rtt_us},
          {"rate_bytes_per_s", path.rate_bytes_per_s}};
}

}  // namespace

std::string to_json(const std::vector<NamedConnection>& connections) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const NamedConnection& named : connections) {
    const ConnectionStatistics& connection = named.statistics;
    nlohmann::ordered_json paths = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < connection.paths.size(); ++i) {
      paths.push_back(path_json(static_cast<int>(i), connection.paths[i]));
    }
    all.push_back({{"peer", connection.peer},
                   {"open", named.open},
                   {"messages_sent", connection.messages_sent},
                   {"messages_received", connection.messages_received},
                   {"stalls", connection.stalls},
                   {"longest_stall_ms", connection.longest_stall_ms},
                   {"paths", std::move(paths)}});
  }
  nlohmann::ordered_json document = {{"version", WEFT_VERSION_STRING},
                                     {"pid", static_cast<long>(getpid())},
                                     {"host", host_name()},
                                     {"connections", std::move(all)}};
  return document.dump(1) + "\n";
}

std::string expand_file_name(const std::string& pattern) {
  std::string name;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    bool escape = pattern[i] == '%' && i + 1 < pattern.size();
    if (escape && pattern[i + 1] == 'p') {
      name += std::to_string(getpid());
      ++i;
    } else if (escape && pattern[i + 1] == 'h') {
      name += host_name();
      ++i;
    } else {
      name += pattern[i];
    }
  }
  return name;
}

Status write_file(const std::string& name, const std::string& text) {
  std::string temporary = name + ".tmp";
  std::ofstream file(temporary, std::ios::trunc);
  file << text;
  file.close();
  if (!file || std::rename(temporary.c_str(), name.c_str()) != 0) {
    return Status(StatusCode::kInternal, fmt::format("cannot write statistics to {}: {} (WEFT_STATS_FILE)",
                                                     name, std::strerror(errno)));
  }
  return Status::ok();
}

}  // namespace weft::engine
