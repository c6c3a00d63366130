#include "bench/perf/json_report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/version.h"
#include "weft/version.h"

namespace weft::bench {
namespace {

using Json = nlohmann::ordered_json;

// Of the report, not of weft: raised when a reader has to change.
constexpr int kFormatVersion = 1;

// JSON has no infinity and no NaN.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json path_json(const PathStatistics& path) {
  return {{"local_device", path.local_device},
          {"local_address", path.local_address},
          {"peer_address", path.peer_address},
          {"plane", path.plane},
          {"standby", path.standby},
          {"state", path.state},
          {"bytes_sent", path.bytes_sent},
          {"bytes_received", path.bytes_received},
          {"chunks_sent", path.chunks_sent},
          {"chunks_resent", path.chunks_resent},
          {"failures", path.failures},
          {"revivals", path.revivals},
          {"smoothed_rtt_us", number(path.smoothed_rtt_us)},
          {"rate_bytes_per_s", number(path.rate_bytes_per_s)}};
}

Json host_json() {
  utsname system{};
  ::uname(&system);
  return {{"name", system.nodename},
          {"kernel", std::string(system.sysname) + " " + system.release},
          {"machine", system.machine},
          {"processors", std::thread::hardware_concurrency()}};
}

Json transport_json(const Config& config) {
  return {{"interfaces", config.interfaces},
          {"address_family", config.address_family},
          {"paths_per_plane", config.paths_per_plane},
          {"max_paths", config.max_paths},
          {"chunk_bytes", config.chunk_bytes},
          {"peer_timeout_ms", config.peer_timeout.count()},
          {"path_timeout_ms", config.path_timeout.count()},
          {"payload_checksum", config.payload_checksum},
          {"secret_is_set", !config.secret.empty()}};
}

Json config_json(const PerfOptions& options) {
  Json config = {{"minimum_bytes", options.min_bytes}, {"maximum_bytes", options.max_bytes}};
  if (options.step_factor > 1) {
    config["step_factor"] = options.step_factor;
  } else {
    config["step_bytes"] = options.step_bytes;
  }
  config["warmup_iters"] = options.warmup_iterations;
  config["iterations"] = options.iterations;
  config["validation"] = options.checks;
  return config;
}

Json ranks_json(const ReportContext& context) {
  Json ranks = Json::array();
  for (std::size_t i = 0; i < context.ranks.size(); ++i) {
    const RankInfo& rank = context.ranks[i];
    Json connections = Json::parse(context.rank_connections.at(i), nullptr, /*allow_exceptions=*/false);
    ranks.push_back({{"rank", rank.rank},
                     {"pid", rank.pid},
                     {"host", rank.host},
                     {"devices", rank.devices},
                     {"connections", connections.is_discarded() ? Json(nullptr) : std::move(connections)}});
  }
  return ranks;
}

Json head_json(const ReportContext& context, const PerfOptions& options) {
  return {{"format_version", kFormatVersion},
          {"weft_version", WEFT_VERSION_STRING},
          {"commit", commit()},
          {"compiler", compiler()},
          {"build_type", build_type()},
          {"command", options.command},
          {"arguments", context.arguments},
          {"start_time", context.start_time},
          {"end_time", context.end_time},
          {"host", host_json()},
          {"launcher", context.launcher},
          {"error", context.error.empty() ? Json(nullptr) : Json(context.error)},
          {"config", config_json(options)},
          {"transport", transport_json(context.config)}};
}

Json measurement_json(const Measurement& measurement) {
  return {{"time", number(measurement.time_us)},
          {"alg_bw", number(measurement.algorithm_gb_per_s)},
          {"bus_bw", number(measurement.bus_gb_per_s)},
          {"nwrong", measurement.wrong ? Json(*measurement.wrong) : Json(nullptr)}};
}

Json compression_json(const CompressionStatistics& compression) {
  return {{"setting", compression.setting},
          {"agreed", compression.agreed},
          {"level", compression.level},
          {"element_type", compression.element_type},
          {"why", compression.why},
          {"plain_bytes_sent_coded", compression.sent.plain_bytes},
          {"wire_bytes_sent_coded", compression.sent.coded_bytes},
          {"plain_bytes_received_coded", compression.received.plain_bytes},
          {"wire_bytes_received_coded", compression.received.coded_bytes}};
}

}  // namespace

std::string connections_json(Job& job) {
  Json connections = Json::array();
  for (int peer = 0; peer < job.size(); ++peer) {
    const Connection* connection = job.communicator().connection(peer);
    if (connection == nullptr) continue;
    const ConnectionStatistics statistics = connection->statistics();
    Json paths = Json::array();
    for (const PathStatistics& path : statistics.paths) paths.push_back(path_json(path));
    connections.push_back({{"peer_rank", peer},
                           {"messages_sent", statistics.messages_sent},
                           {"messages_received", statistics.messages_received},
                           {"stalls", statistics.stalls},
                           {"longest_stall_ms", number(statistics.longest_stall_ms)},
                           {"compression", compression_json(statistics.compression)},
                           {"paths", std::move(paths)}});
  }
  return connections.dump();
}

std::string perf_json(const ReportContext& context, const PerfOptions& options, const PerfReport& report) {
  Json json = head_json(context, options);
  Json results = Json::array();
  for (const PerfRow& row : report.rows) {
    results.push_back({{"size", row.bytes},
                       {"count", row.elements},
                       {"type", row.type},
                       {"redop", row.op},
                       {"root", -1},
                       {"out_of_place", measurement_json(row.out_of_place)},
                       {"in_place", measurement_json(row.in_place)}});
  }
  json["units"] = {{"time", "us"}, {"alg_bw", "GB/s"}, {"bus_bw", "GB/s"}};
  json["results"] = std::move(results);
  json["out_of_bounds"] = {{"count", report.wrong_elements}, {"okay", report.wrong_elements == 0}};
  json["average_bus_bandwidth"] = number(report.average_bus_gb_per_s);
  json["ranks"] = ranks_json(context);
  return json.dump(2) + "\n";
}

std::string pingpong_json(const ReportContext& context, const PerfOptions& options,
                          const std::vector<PingpongRow>& rows) {
  Json json = head_json(context, options);
  Json results = Json::array();
  const auto times = [](const PingpongRow& row, double part) -> Json {
    return {{"min", number(row.least_us * part)},
            {"median", number(row.median_us * part)},
            {"mean", number(row.mean_us * part)},
            {"p99", number(row.p99_us * part)}};
  };
  for (const PingpongRow& row : rows) {
    results.push_back({{"size", row.bytes},
                       {"iterations", row.iterations},
                       {"half_round_trip_us", times(row, 0.5)},
                       {"round_trip_us", times(row, 1.0)},
                       {"nwrong", row.wrong_bytes}});
  }
  json["results"] = std::move(results);
  json["ranks"] = ranks_json(context);
  return json.dump(2) + "\n";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace weft::bench
