#include "transport/engine/statistics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

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

void put_counters(nlohmann::ordered_json& json, const StatisticsTotals::Counters& counters) {
  json["bytes_sent"] = counters.bytes_sent;
  json["bytes_received"] = counters.bytes_received;
  json["chunks_sent"] = counters.chunks_sent;
  json["chunks_resent"] = counters.chunks_resent;
  json["failures"] = counters.failures;
  json["revivals"] = counters.revivals;
}

nlohmann::ordered_json totals_json(const StatisticsTotals& totals) {
  nlohmann::ordered_json json = {{"connections", totals.connections()},
                                 {"messages_sent", totals.messages_sent()},
                                 {"messages_received", totals.messages_received()},
                                 {"stalls", totals.stalls()},
                                 {"longest_stall_ms", totals.longest_stall_ms()}};
  put_counters(json, totals.counters());
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (const auto& [name, counters] : totals.devices()) {
    devices.push_back({{"local_device", name}});
    put_counters(devices.back(), counters);
  }
  json["devices"] = std::move(devices);
  return json;
}

void add_path(StatisticsTotals::Counters& sum, const PathStatistics& path) {
  sum.bytes_sent += path.bytes_sent;
  sum.bytes_received += path.bytes_received;
  sum.chunks_sent += path.chunks_sent;
  sum.chunks_resent += path.chunks_resent;
  sum.failures += path.failures;
  sum.revivals += path.revivals;
}

}  // namespace

void StatisticsTotals::add(const ConnectionStatistics& connection) {
  ++connections_;
  messages_sent_ += connection.messages_sent;
  messages_received_ += connection.messages_received;
  stalls_ += connection.stalls;
  longest_stall_ms_ = std::max(longest_stall_ms_, connection.longest_stall_ms);
  for (const PathStatistics& path : connection.paths) {
    add_path(counters_, path);
    if (!path.local_device.empty()) add_path(devices_[path.local_device], path);
  }
}

std::string to_json(const StatisticsTotals& totals, const std::vector<NamedConnection>& connections) {
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
                                     {"totals", totals_json(totals)},
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
    } else if (escape && pattern[i + 1] == '%') {
      name += '%';
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
