#include "transport/sim/scenario.h"

namespace weft::sim {

std::optional<Scenario> named_scenario(const std::string&, std::uint64_t) {
  return std::nullopt;
}
std::vector<std::string> scenario_names() {
  return {};
}
std::string describe(const Scenario&) {
  return "";
}

}  // namespace weft::sim
