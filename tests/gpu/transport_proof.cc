#include "tests/gpu/transport_proof.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace weft::gputest {
namespace {

using nlohmann::json;

std::string_view word_after(std::string_view line, std::string_view marker) {
  const std::size_t at = line.find(marker);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + marker.size());
  return line.substr(0, line.find_first_of(" \t,/\r"));
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::uint64_t bytes_sent_in(const json& value) {
  if (value.is_object()) {
    const auto own = value.find("bytes_sent");
    if (own != value.end() && own->is_number()) return own->get<std::uint64_t>();
  }
  std::uint64_t sum = 0;
  if (value.is_structured()) {
    for (const json& child : value) sum += bytes_sent_in(child);
  }
  return sum;
}

}  // namespace

LogFindings read_log(std::string_view text) {
  LogFindings found;
  std::vector<std::string_view> channels;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (const std::string_view name = word_after(line, "Using network "); !name.empty()) found.network = name;
    if (line.find("NET/Weft : Weft ") != std::string_view::npos) found.banner = line;
    if (line.find("Channel ") != std::string_view::npos && line.find(" via ") != std::string_view::npos) {
      channels.push_back(line);
    }
  }
  for (const std::string_view line : channels) {
    const std::string_view network = word_after(line, " via NET/");
    if (!network.empty() && same_name(network, found.network)) {
      ++found.network_channels;
    } else if (found.other_channels++ == 0) {
      found.other_example = line;
    }
  }
  return found;
}

Status check_log(const LogFindings& log, std::string_view network, int rank) {
  const std::string where = "Rank " + std::to_string(rank) + "'s NCCL log ";
  const auto fail = [&](const std::string& what) { return Status(StatusCode::kInternal, where + what); };
  if (!same_name(log.network, network)) {
    return fail(log.network.empty()
                    ? "has no line \"Using network ...\"; is NCCL_DEBUG=INFO set?"
                    : "says \"Using network " + log.network + "\", not " + std::string(network) +
                          ": NCCL did not take the transport that was asked for.");
  }
  if (same_name(network, "Weft") && log.banner.empty())
    return fail("lacks the plugin's banner (NET/Weft : Weft ...).");
  if (log.network_channels == 0) return fail("shows no channel via NET/" + std::string(network) + ".");
  if (log.other_channels != 0) {
    return fail("shows " + std::to_string(log.other_channels) +
                " channels that went another way: " + log.other_example);
  }
  return Status::ok();
}

Result<std::uint64_t> bytes_sent_in_counters(const std::string& json_text) {
  const json counters = json::parse(json_text, nullptr, false);
  if (counters.is_discarded()) return Status(StatusCode::kInternal, "is not JSON");
  const auto totals = counters.is_object() ? counters.find("totals") : counters.end();
  return bytes_sent_in(counters.is_object() && totals != counters.end() ? *totals : counters);
}

Result<std::uint64_t> bytes_sent_in_counter_files(const std::string& directory, const std::string& prefix) {
  std::uint64_t sum = 0;
  int files = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    // Weft writes NAME.tmp and renames it; a killed rank may leave one behind.
    if (entry.path().filename().string().rfind(prefix, 0) != 0 || entry.path().extension() != ".json")
      continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const Result<std::uint64_t> bytes = bytes_sent_in_counters(text.str());
    if (!bytes)
      return Status(StatusCode::kInternal,
                    "The counter file " + entry.path().string() + " " + bytes.status().message() + ".");
    sum += *bytes;
    ++files;
  }
  if (files == 0) {
    return Status(StatusCode::kInternal, "The plugin wrote no counter file " + directory + "/" + prefix +
                                             "*, though WEFT_STATS_FILE asked for one.");
  }
  return sum;
}

}  // namespace weft::gputest
