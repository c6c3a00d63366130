#include "transport/engine/statistics.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "transport/engine/host_name.h"
#include "weft/version.h"

namespace weft::engine {
namespace {

nlohmann::ordered_json path_json(int index, const PathStatistics& path) {
  return {{"path", index},
          {"plane", path.plane},
          {"standby", path.standby},
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

void put_coded(nlohmann::ordered_json& json, const CompressionStatistics::Counters& sent,
               const CompressionStatistics::Counters& received) {
  json["chunks_sent_coded"] = sent.chunks;
  json["plain_bytes_sent_coded"] = sent.plain_bytes;
  json["wire_bytes_sent_coded"] = sent.coded_bytes;
  json["chunks_received_coded"] = received.chunks;
  json["plain_bytes_received_coded"] = received.plain_bytes;
  json["wire_bytes_received_coded"] = received.coded_bytes;
}

nlohmann::ordered_json compression_json(const CompressionStatistics& compression) {
  nlohmann::ordered_json json = {{"setting", compression.setting},
                                 {"agreed", compression.agreed},
                                 {"level", compression.level},
                                 {"element_type", compression.element_type},
                                 {"why", compression.why}};
  put_coded(json, compression.sent, compression.received);
  return json;
}

void add_coded(StatisticsTotals::Coded& sum, const StatisticsTotals::Coded& one) {
  sum.chunks += one.chunks;
  sum.plain_bytes += one.plain_bytes;
  sum.coded_bytes += one.coded_bytes;
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
  put_coded(json, totals.coded_sent(), totals.coded_received());
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
  add_coded(coded_sent_, connection.compression.sent);
  add_coded(coded_received_, connection.compression.received);
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
                   {"compression", compression_json(connection.compression)},
                   {"paths", std::move(paths)}});
  }
  nlohmann::ordered_json document = {{"version", WEFT_VERSION_STRING},
                                     {"pid", static_cast<long>(getpid())},
                                     {"host", host_name()},
                                     {"totals", totals_json(totals)},
                                     {"connections", std::move(all)}};
  return document.dump(1) + "\n";
}

}  // namespace weft::engine
