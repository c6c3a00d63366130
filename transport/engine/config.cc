#include "weft/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "transport/engine/environment.h"
#include "transport/engine/hca_filter.h"
#include "transport/engine/interface_filter.h"
#include "transport/engine/nccl_variables.h"

namespace weft {
namespace {

constexpr std::string_view kPrefix = "WEFT_";

Status refused(const ConfigVariable& variable, const std::string& value) {
  const std::string shown = variable.is_secret ? "(not shown)" : "\"" + value + "\"";
  return {StatusCode::kBadConfiguration, std::string(variable.name) + "=" + shown +
                                             " is not accepted; accepted: " + std::string(variable.accepted) +
                                             "."};
}

// Insertions, deletions and replacements between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::vector<std::string_view> known_names() {
  std::vector<std::string_view> names;
  for (const ConfigVariable& variable : config_variables()) names.push_back(variable.name);
  for (const OtherVariable& variable : other_variables()) names.push_back(variable.name);
  return names;
}

// How many typing errors a name may have and still be taken for another. Two letters more or less make
// another word of a short one.
std::size_t allowed_distance(std::string_view name, std::string_view known) {
  const std::size_t letters = std::min(name.size(), known.size()) - kPrefix.size();
  return letters <= 3 ? 1 : std::max<std::size_t>(2, letters / 3);
}

// The known name that was probably meant; empty where none is near. A name cut short, or one that goes on
// where a known one ends, is near: whoever sets WEFT_SECRET_FILE relies on it.
std::string_view nearest_name(std::string_view name) {
  std::string_view nearest;
  std::size_t best = std::string_view::npos;
  for (const std::string_view known : known_names()) {
    const bool cut_short = name.size() > kPrefix.size() + 2 && known.starts_with(name);
    const std::size_t distance = cut_short || name.starts_with(known) ? 1 : edit_distance(name, known);
    if (distance < best && distance <= allowed_distance(name, known)) {
      best = distance;
      nearest = known;
    }
  }
  return nearest;
}

bool is_foreign(std::string_view name) {
  const auto names = foreign_names();
  return std::any_of(names.begin(), names.end(), [name](std::string_view foreign) {
    return foreign.ends_with('*') ? name.starts_with(foreign.substr(0, foreign.size() - 1)) : name == foreign;
  });
}

Status check_names(const Environment& environment, std::vector<std::string>* unknown) {
  const std::vector<std::string_view> known = known_names();
  std::string refused_names;
  for (auto it = environment.lower_bound(kPrefix); it != environment.end() && it->first.starts_with(kPrefix);
       ++it) {
    const std::string& name = it->first;
    if (is_foreign(name) || std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string_view meant = nearest_name(name);
    if (meant.empty()) {
      unknown->push_back(name);
      continue;
    }
    refused_names +=
        (refused_names.empty() ? "" : ", ") + name + " (did you mean " + std::string(meant) + "?)";
  }
  if (refused_names.empty()) return Status::ok();
  return {StatusCode::kBadConfiguration,
          "unknown variables in the environment: " + refused_names +
              ". Correct or unset them; docs/environment.md lists all that Weft knows."};
}

std::string value_of(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

}  // namespace

Result<Config> config_from(const Environment& environment) {
  Config config;
  if (const Status status = check_names(environment, &config.unknown_variables); !status) return status;
  for (const ConfigVariable& variable : config_variables()) {
    const auto found = environment.find(variable.name);
    if (found == environment.end()) continue;
    const std::string& value = found->second;
    if (value.empty() && !variable.is_secret) continue;
    if (value.empty()) {
      return Status(StatusCode::kBadConfiguration,
                    std::string(variable.name) +
                        " is set but empty, which would leave the job open; unset it to "
                        "run without a secret. Accepted: " +
                        std::string(variable.accepted) + ".");
    }
    if (!variable.read(value, config)) return refused(variable, value);
  }
  if (const Status status = engine::read_nccl_variables(environment, &config); !status) return status;
  // The user's own words are in the message, not "512K" for "524288".
  for (const ConfigVariable& variable : config_variables()) {
    const std::string value = value_of(environment, variable.name);
    if (!value.empty() && variable.name != "WEFT_IF" && variable.name != "WEFT_IB_HCA" &&
        !variable.in_range(config))
      return refused(variable, value);
  }
  if (const Status status = config.validate(); !status) return status;
  return config;
}

Result<Config> Config::from_environment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    // Of a name that stands there twice the first counts, as with getenv().
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return config_from(environment);
}

Status Config::validate() const {
  // The filters say better than a list of accepted values what is wrong with them.
  const auto filter = engine::InterfaceFilter::parse(interfaces);
  if (!filter.is_ok()) return filter.status();
  const auto devices = engine::HcaFilter::parse(rdma.devices);
  if (!devices.is_ok()) return devices.status();
  for (const ConfigVariable& variable : config_variables()) {
    if (!variable.in_range(*this)) return refused(variable, variable.show(*this));
  }
  return Status::ok();
}

}  // namespace weft
