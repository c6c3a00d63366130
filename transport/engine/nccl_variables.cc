#include "transport/engine/nccl_variables.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "transport/engine/hca_filter.h"
#include "transport/engine/interface_filter.h"

namespace weft::engine {
namespace {

constexpr std::string_view kRdmaPrefix = "NCCL_IB_";
constexpr int kMostRetries = 6;

std::string value_of(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

Status refused(std::string_view name, const std::string& value, std::string_view accepted,
               std::string_view own) {
  return {StatusCode::kBadConfiguration, std::string(name) + "=\"" + value +
                                             "\" is not accepted; accepted: " + std::string(accepted) +
                                             ". Set " + std::string(own) + " to overrule it."};
}

// NCCL reads 0x6a and 0152 too.
std::optional<long> number_of(const std::string& text) {
  if (text.empty() || text[0] == ' ' || text[0] == '+') return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(text.c_str(), &end, 0);
  if (errno != 0 || *end != '\0') return std::nullopt;
  return number;
}

// A number of NCCL's that becomes a field. -1 is NCCL's word for "not set" where `minus_one_is_unset`.
struct Number {
  std::string_view name;
  std::string_view own;
  long low;
  long high;
  bool minus_one_is_unset;
  void (*store)(long value, Config& config);
};

constexpr Number kNumbers[] = {
    {"NCCL_IB_DISABLE", "WEFT_IB_DISABLE", 0, 1, false,
     [](long value, Config& c) { c.rdma.disabled = value == 1; }},
    {"NCCL_IB_GID_INDEX", "WEFT_IB_GID_INDEX", 0, 255, true,
     [](long value, Config& c) { c.rdma.gid_index = static_cast<int>(value); }},
    {"NCCL_IB_TC", "WEFT_IB_TC", 0, 255, true,
     [](long value, Config& c) { c.rdma.traffic_class = static_cast<int>(value); }},
    {"NCCL_IB_SL", "WEFT_IB_SL", 0, 15, true,
     [](long value, Config& c) { c.rdma.service_level = static_cast<int>(value); }},
    // 0 would be for ever.
    {"NCCL_IB_TIMEOUT", "WEFT_IB_TIMEOUT", 1, 31, false,
     [](long value, Config& c) { c.rdma.timeout = static_cast<int>(value); }},
    // 7 is NCCL's default, and numbers beyond it (13) are handed on from script to script.
    {"NCCL_IB_RETRY_CNT", "WEFT_IB_RETRY_CNT", 0, 255, false,
     [](long value, Config& c) {
       c.rdma.retry_count = static_cast<int>(std::min<long>(value, kMostRetries));
       if (value <= kMostRetries) return;
       c.nccl_remarks.push_back(
           "NCCL_IB_RETRY_CNT=" + std::to_string(value) +
           " counts as 6: with 7 a NIC may try for ever, and there are no more than 3 bits.");
     }},
    // 2 is NCCL's word for "where it works", which is all that 1 means here.
    {"NCCL_IB_PCI_RELAXED_ORDERING", "WEFT_IB_PCI_RELAXED_ORDERING", 0, 2, false,
     [](long value, Config& c) { c.rdma.relaxed_ordering = value != 0; }},
};

constexpr struct {
  std::string_view name;
  std::string_view why;
} kWithoutEffect[] = {
    {"NCCL_IB_QPS_PER_CONNECTION", "WEFT_PATHS_PER_PLANE says how many queue pairs there are"},
    {"NCCL_IB_SPLIT_DATA_ON_QPS",
     "large messages are split over whatever paths have room, small ones are not"},
    {"NCCL_IB_ADAPTIVE_ROUTING", "no order of packets is relied on, it may be on or off"},
    {"NCCL_IB_AR_THRESHOLD", "no order of packets is relied on, with adaptive routing or without"},
    {"NCCL_IB_MERGE_NICS", "every port is a plane of its own"},
    {"NCCL_IB_MERGE_VFS", "every port is a plane of its own"},
    {"NCCL_IB_ROCE_VERSION_NUM", "RoCE v2 is preferred; WEFT_IB_GID_INDEX names a GID by hand"},
    {"NCCL_IB_ADDR_FAMILY", "WEFT_FAMILY says which addresses are used"},
    {"NCCL_IB_ADDR_RANGE", "WEFT_IB_GID_INDEX names a GID by hand"},
    {"NCCL_IB_PKEY", "the first partition key of the port's table is used"},
};

Status read_interfaces(const Environment& environment, Config* config) {
  const std::string interfaces = value_of(environment, "NCCL_SOCKET_IFNAME");
  if (value_of(environment, "WEFT_IF").empty() && !interfaces.empty()) {
    const auto filter = InterfaceFilter::parse(interfaces, "NCCL_SOCKET_IFNAME");
    if (!filter.is_ok()) return filter.status();
    config->interfaces = interfaces;
  }
  const std::string family = value_of(environment, "NCCL_SOCKET_FAMILY");
  if (value_of(environment, "WEFT_FAMILY").empty() && !family.empty()) {
    if (family != "AF_INET" && family != "AF_INET6") {
      return refused("NCCL_SOCKET_FAMILY", family, "AF_INET or AF_INET6", "WEFT_FAMILY");
    }
    config->address_family = family == "AF_INET" ? 4 : 6;
  }
  return Status::ok();
}

Status read_devices(const Environment& environment, Config* config) {
  const std::string devices = value_of(environment, "NCCL_IB_HCA");
  if (!value_of(environment, "WEFT_IB_HCA").empty() || devices.empty()) return Status::ok();
  const auto filter = HcaFilter::parse(devices, "NCCL_IB_HCA");
  if (!filter.is_ok()) return filter.status();
  config->rdma.devices = devices;
  return Status::ok();
}

Status read_number(const Environment& environment, const Number& variable, Config* config) {
  const std::string text = value_of(environment, variable.name);
  if (!value_of(environment, variable.own).empty() || text.empty()) return Status::ok();
  const auto value = number_of(text);
  if (value == -1 && variable.minus_one_is_unset) return Status::ok();
  if (!value || *value < variable.low || *value > variable.high) {
    return refused(variable.name, text,
                   (variable.minus_one_is_unset ? "-1, " : "") + std::to_string(variable.low) + " to " +
                       std::to_string(variable.high),
                   variable.own);
  }
  variable.store(*value, *config);
  return Status::ok();
}

void remark_on_the_others(const Environment& environment, Config* config) {
  for (auto it = environment.lower_bound(kRdmaPrefix);
       it != environment.end() && it->first.starts_with(kRdmaPrefix); ++it) {
    const std::string& name = it->first;
    const bool taken =
        name == "NCCL_IB_HCA" || std::any_of(std::begin(kNumbers), std::end(kNumbers),
                                             [&](const Number& variable) { return variable.name == name; });
    if (taken || it->second.empty()) continue;
    const auto known = std::find_if(std::begin(kWithoutEffect), std::end(kWithoutEffect),
                                    [&](const auto& variable) { return variable.name == name; });
    config->nccl_remarks.push_back(
        name + " has no effect on Weft" +
        (known == std::end(kWithoutEffect) ? "." : ": " + std::string(known->why) + "."));
  }
}

}  // namespace

Status read_nccl_variables(const Environment& environment, Config* config) {
  if (const Status status = read_interfaces(environment, config); !status) return status;
  if (const Status status = read_devices(environment, config); !status) return status;
  for (const Number& variable : kNumbers) {
    if (const Status status = read_number(environment, variable, config); !status) return status;
  }
  remark_on_the_others(environment, config);
  return Status::ok();
}

}  // namespace weft::engine
