#include "tests/gpu/transport_run.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/gpu/transport_proof.h"

namespace weft::gputest {
namespace {

// Names this run's files: weft-4ranks, socket-2ranks, weft-2ranks-kill.
std::string label(const RunOptions& options) {
  return std::string(options.transport == Transport::kWeft ? "weft-" : "socket-") +
         std::to_string(options.ranks) + "ranks" + (options.kill_last_rank ? "-kill" : "");
}

std::string path_of(const RunOptions& options, const std::string& end) {
  return options.output_directory + "/" + label(options) + end;
}

std::string log_path(const RunOptions& options, int rank) {
  return path_of(options, ".rank" + std::to_string(rank) + ".nccl.log");
}

std::string counter_prefix(const RunOptions& options) {
  return label(options) + ".counters.";
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Files of an earlier run under the same name would be taken for this one's proof.
void remove_old_files(const RunOptions& options) {
  std::error_code error;
  std::vector<std::filesystem::path> old;
  for (const auto& entry : std::filesystem::directory_iterator(options.output_directory, error)) {
    if (entry.path().filename().string().rfind(label(options) + ".", 0) == 0) old.push_back(entry.path());
  }
  for (const auto& path : old) std::filesystem::remove(path, error);
}

void take_report(const std::string& line, int rank, RunResult& result) {
  std::istringstream words(line);
  std::string kind;
  words >> kind;
  if (kind == "row") {
    std::size_t index = 0, wrong = 0, first_wrong = 0;
    double median_us = 0;
    words >> index >> median_us >> wrong >> first_wrong;
    if (!words || index >= result.rows.size()) {
      result.problem = "Rank " + std::to_string(rank) + " reported nonsense: " + line;
      return;
    }
    Row& row = result.rows[index];
    row.median_us = std::max(row.median_us, median_us);
    if (wrong > 0 && row.wrong_bytes == 0) {
      row.worst_rank = rank;
      row.first_wrong_element = first_wrong;
    }
    row.wrong_bytes += wrong;
    ++row.reports;
  } else if (kind == "info") {
    std::string name, text;
    words >> name;
    std::getline(words >> std::ws, text);
    result.info[name] = text;
  } else if (kind == "peer-lost") {
    std::string milliseconds, text;
    words >> milliseconds;
    std::getline(words >> std::ws, text);
    result.peer_lost += (result.peer_lost.empty() ? "" : "; ") + std::string("rank ") + std::to_string(rank) +
                        " was told after " + milliseconds + " ms: " + text;
  }
}

Status prove_transport(const RunOptions& options, RunResult& result) {
  for (int rank = 0; rank < options.ranks; ++rank) {
    const LogFindings log = read_log(read_file(log_path(options, rank)));
    Status checked = check_log(log, name_of(options.transport), rank);
    if (!checked) return Status(checked.code(), checked.message() + " Log: " + log_path(options, rank));
    if (rank == 0) result.banner = log.banner;
  }
  if (options.transport != Transport::kWeft || options.kill_last_rank) return Status::ok();
  const Result<std::uint64_t> sent =
      bytes_sent_in_counter_files(options.output_directory, counter_prefix(options));
  if (!sent) return sent.status();
  result.bytes_sent = *sent;
  if (*sent < result.bytes_needed) {
    return Status(StatusCode::kInternal, "Weft's counters show " + std::to_string(*sent) +
                                             " bytes sent, but the operations need at least " +
                                             std::to_string(result.bytes_needed) +
                                             ": part of the traffic took another way.");
  }
  return Status::ok();
}

void judge_rows(const RunOptions& options, RunResult& result) {
  const auto operations_per_case = static_cast<std::uint64_t>(options.iterations) + 1;
  for (std::size_t i = 0; i < options.plan.size(); ++i) {
    const Row& row = result.rows[i];
    if (row.reports == options.ranks) {
      result.operations += operations_per_case;
      result.bytes_needed += operations_per_case * minimum_wire_bytes(options.plan[i].collective);
    }
    if (row.wrong_bytes > 0 && result.problem.empty()) {
      result.problem = "Wrong bytes in " + std::string(name_of(options.plan[i].collective.operation)) +
                       " of " + std::to_string(options.plan[i].bytes()) + " bytes: first on rank " +
                       std::to_string(row.worst_rank) + " at element " +
                       std::to_string(row.first_wrong_element) + ".";
    }
    if (row.reports != options.ranks && result.problem.empty()) {
      result.problem = "Case " + std::to_string(i) + " was reported by " + std::to_string(row.reports) +
                       " of " + std::to_string(options.ranks) + " ranks.";
    }
  }
}

}  // namespace

std::string_view name_of(Transport transport) {
  return transport == Transport::kWeft ? "Weft" : "Socket";
}

std::vector<std::string> rank_environment(const RunOptions& options, int rank, char* const* inherited) {
  static constexpr std::string_view kOwn[] = {
      "NCCL_NET",          "NCCL_NET_PLUGIN", "NCCL_HOSTID",
      "NCCL_DEBUG",        "NCCL_DEBUG_FILE", "NCCL_DEBUG_SUBSYS",
      "NCCL_MNNVL_ENABLE", "NCCL_RAS_ENABLE", "NCCL_NET_PLUGIN_REF_COUNT",
      "WEFT_STATS_FILE"};
  std::vector<std::string> environment;
  bool has_interfaces = false, has_max_ctas = false;
  for (; *inherited; ++inherited) {
    const std::string entry = *inherited;
    const std::string name = entry.substr(0, entry.find('='));
    if (std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn)) continue;
    has_interfaces = has_interfaces || name == "NCCL_SOCKET_IFNAME";
    has_max_ctas = has_max_ctas || name == "NCCL_MAX_CTAS";
    environment.push_back(entry);
  }
  const auto add = [&](std::string entry) { environment.push_back(std::move(entry)); };
  add("NCCL_HOSTID=r" + std::to_string(rank));
  add("NCCL_MNNVL_ENABLE=0");
  add("NCCL_RAS_ENABLE=0");
  if (!has_max_ctas) add("NCCL_MAX_CTAS=8");
  if (!has_interfaces) add("NCCL_SOCKET_IFNAME=lo");
  add("NCCL_DEBUG=INFO");
  add("NCCL_DEBUG_SUBSYS=INIT,NET,ENV");
  add("NCCL_DEBUG_FILE=" + log_path(options, rank));
  add("NCCL_NET=" + std::string(name_of(options.transport)));
  if (options.transport == Transport::kWeft) {
    add("NCCL_NET_PLUGIN=" + options.plugin);
    // NCCL 2.28 to 2.29.7 forget the plugin's name when they close it after the last communicator.
    add("NCCL_NET_PLUGIN_REF_COUNT=1");
    add("WEFT_STATS_FILE=" + path_of(options, ".counters.%p.json"));
  } else {
    add("NCCL_NET_PLUGIN=none");
  }
  return environment;
}

RunResult run_transport(const RunOptions& options) {
  RunResult result;
  result.rows.resize(options.kill_last_rank ? 0 : options.plan.size());
  remove_old_files(options);
  std::vector<RankCommand> commands;
  for (int rank = 0; rank < options.ranks; ++rank) {
    RankCommand command;
    command.arguments = {options.program, "--rank", std::to_string(rank), "--ranks",
                         std::to_string(options.ranks)};
    command.arguments.insert(command.arguments.end(), options.rank_arguments.begin(),
                             options.rank_arguments.end());
    if (options.kill_last_rank) command.arguments.emplace_back("--kill-rank");
    command.environment = rank_environment(options, rank, environ);
    command.output_file = path_of(options, ".rank" + std::to_string(rank) + ".out");
    command.may_die = options.kill_last_rank && rank + 1 == options.ranks;
    commands.push_back(std::move(command));
  }
  const Status launched = launch(commands, options.limits,
                                 [&](int rank, const std::string& line) { take_report(line, rank, result); });
  if (!launched && result.problem.empty()) result.problem = launched.message();
  if (!options.kill_last_rank) judge_rows(options, result);
  if (options.kill_last_rank && result.problem.empty() && result.peer_lost.empty()) {
    result.problem = "No survivor reported that its peer was lost.";
  }
  const Status proven = prove_transport(options, result);
  if (!proven && result.problem.empty()) result.problem = proven.message();
  return result;
}

}  // namespace weft::gputest
