#include "transport/engine/environment.h"
#include "transport/engine/device_distance.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>

#include "transport/engine/hca_filter.h"
#include "transport/engine/interface_filter.h"

namespace weft {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kKibi = 1024, kMebi = 1024 * 1024;
constexpr std::size_t kMaxSecretBytes = 1024;
constexpr std::size_t kMaxPathBytes = 4000;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.starts_with('-')) return std::nullopt;
  return value;
}

std::optional<std::int64_t> whole_bytes(std::string_view text) {
  std::int64_t unit = 1;
  if (text.ends_with("iB")) text.remove_suffix(2);
  if (text.ends_with('K') || text.ends_with('k')) unit = kKibi;
  if (text.ends_with('M') || text.ends_with('m')) unit = kMebi;
  if (unit != 1) text.remove_suffix(1);
  const auto number = whole_number(text);
  if (!number || *number > INT64_MAX / unit) return std::nullopt;
  return *number * unit;
}

// Numbers that the field cannot hold are as wrong as letters.
bool read_int(const std::string& text, int* field) {
  const auto value = whole_number(text);
  if (!value || *value > INT32_MAX) return false;
  *field = static_cast<int>(*value);
  return true;
}

bool read_paths(const std::string& text, int* field) {
  *field = 0;
  return text == "auto" || (read_int(text, field) && *field != 0);
}

bool read_milliseconds(const std::string& text, milliseconds* field) {
  const auto value = whole_number(text);
  if (!value || *value > INT32_MAX) return false;
  *field = milliseconds(*value);
  return true;
}

std::string show_milliseconds(milliseconds value) {
  return std::to_string(value.count());
}

template <typename T>
bool between(T value, T low, T high) {
  return low <= value && value <= high;
}

constexpr std::string_view kLevels[] = {"ERROR", "WARN", "INFO", "DEBUG"};

bool read_level(std::string text, LogLevel* level) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  const auto found = std::find(std::begin(kLevels), std::end(kLevels), text);
  if (found == std::end(kLevels)) return false;
  *level = static_cast<LogLevel>(found - std::begin(kLevels));
  return true;
}

bool read_flag(const std::string& text, bool* field) {
  *field = text == "1";
  return text == "0" || text == "1";
}

bool read_text(const std::string& text, std::string* field) {
  *field = text;
  return true;
}

// Only %p, %h and %% may follow a percent sign: %d would one day be wanted to mean something.
bool is_file_pattern(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    ++i;
    if (i == text.size() || std::string_view("ph%").find(text[i]) == std::string_view::npos) return false;
  }
  return text.size() <= kMaxPathBytes && (text.empty() || text.back() != '/');
}

constexpr std::string_view kTransports[] = {"auto", "tcp", "verbs", "ucx"};

bool read_transport(const std::string& text, TransportChoice* choice) {
  const auto found = std::find(std::begin(kTransports), std::end(kTransports), text);
  if (found == std::end(kTransports)) return false;
  *choice = static_cast<TransportChoice>(found - std::begin(kTransports));
  return true;
}

constexpr std::string_view kCompressions[] = {"auto", "off", "fast", "dense", "archive"};

bool read_compression(const std::string& text, CompressionChoice* choice) {
  const auto found = std::find(std::begin(kCompressions), std::end(kCompressions), text);
  if (found == std::end(kCompressions)) return false;
  *choice = static_cast<CompressionChoice>(found - std::begin(kCompressions));
  return true;
}

constexpr std::string_view kAutoOnOff[] = {"auto", "on", "off"};

// Of an enumeration with these three, in this order.
template <typename Choice>
bool read_choice(const std::string& text, Choice* choice) {
  const auto found = std::find(std::begin(kAutoOnOff), std::end(kAutoOnOff), text);
  if (found == std::end(kAutoOnOff)) return false;
  *choice = static_cast<Choice>(found - std::begin(kAutoOnOff));
  return true;
}

template <typename Choice>
std::string show_choice(Choice choice) {
  return std::string(kAutoOnOff[static_cast<std::size_t>(choice)]);
}

bool read_profile(const std::string& text, std::int64_t* field) {
  *field = -1;
  if (text == "auto") return true;
  const auto value = whole_number(text);
  if (value) *field = *value;
  return value.has_value();
}

std::string show_profile(std::int64_t value) {
  return value < 0 ? "auto" : std::to_string(value);
}

const ConfigVariable kVariables[] = {
    {"WEFT_TRANSPORT", "auto, tcp, verbs or ucx",
     [](const std::string& text, Config& c) { return read_transport(text, &c.transport); },
     [](const Config& c) { return c.transport <= TransportChoice::kUcx; },
     [](const Config& c) { return std::string(kTransports[static_cast<std::size_t>(c.transport)]); }},
    {"WEFT_IF", "comma list of interface name prefixes; = in front: exact names; ^ in front: all but these",
     [](const std::string& text, Config& c) { return read_text(text, &c.interfaces); },
     [](const Config& c) { return engine::InterfaceFilter::parse(c.interfaces).is_ok(); },
     [](const Config& c) { return c.interfaces; }},
    {"WEFT_NEAR", "auto, off or a PCI address such as 0000:3b:00.0",
     [](const std::string& text, Config& c) { return read_text(text, &c.near); },
     [](const Config& c) { return engine::is_near_wish(c.near); }, [](const Config& c) { return c.near; }},
    {"WEFT_FAMILY", "0 (both), 4 or 6",
     [](const std::string& text, Config& c) { return read_int(text, &c.address_family); },
     [](const Config& c) { return c.address_family == 0 || c.address_family == 4 || c.address_family == 6; },
     [](const Config& c) { return std::to_string(c.address_family); }},
    {"WEFT_PATHS_PER_PLANE", "auto or 1 to 16",
     [](const std::string& text, Config& c) { return read_paths(text, &c.paths_per_plane); },
     [](const Config& c) { return between(c.paths_per_plane, 0, 16); },
     [](const Config& c) { return c.paths_per_plane == 0 ? "auto" : std::to_string(c.paths_per_plane); }},
    {"WEFT_MAX_PATHS", "1 to 64",
     [](const std::string& text, Config& c) { return read_int(text, &c.max_paths); },
     [](const Config& c) { return between(c.max_paths, 1, 64); },
     [](const Config& c) { return std::to_string(c.max_paths); }},
    {"WEFT_CHUNK_BYTES", "a power of two from 16K to 16M (K and M are 1024 and 1048576)",
     [](const std::string& text, Config& c) {
       const auto bytes = whole_bytes(text);
       if (bytes) c.chunk_bytes = static_cast<std::size_t>(*bytes);
       return bytes.has_value();
     },
     [](const Config& c) {
       return between(c.chunk_bytes, 16 * kKibi, 16 * kMebi) && std::has_single_bit(c.chunk_bytes);
     },
     [](const Config& c) {
       return c.chunk_bytes % kKibi == 0 ? std::to_string(c.chunk_bytes / kKibi) + "K"
                                         : std::to_string(c.chunk_bytes);
     }},
    {"WEFT_TIMEOUT_MS", "100 to 3600000",
     [](const std::string& text, Config& c) { return read_milliseconds(text, &c.peer_timeout); },
     [](const Config& c) { return between(c.peer_timeout, milliseconds(100), milliseconds(3600000)); },
     [](const Config& c) { return show_milliseconds(c.peer_timeout); }},
    {"WEFT_PATH_TIMEOUT_MS", "2 to 10000, less than WEFT_TIMEOUT_MS",
     [](const std::string& text, Config& c) { return read_milliseconds(text, &c.path_timeout); },
     [](const Config& c) {
       return between(c.path_timeout, milliseconds(2), milliseconds(10000)) &&
              c.path_timeout < c.peer_timeout;
     },
     [](const Config& c) { return show_milliseconds(c.path_timeout); }},
    {"WEFT_CONNECT_TIMEOUT_MS", "100 to 3600000",
     [](const std::string& text, Config& c) { return read_milliseconds(text, &c.connect_timeout); },
     [](const Config& c) { return between(c.connect_timeout, milliseconds(100), milliseconds(3600000)); },
     [](const Config& c) { return show_milliseconds(c.connect_timeout); }},
    {"WEFT_BOOTSTRAP_TIMEOUT_MS", "100 to 3600000",
     [](const std::string& text, Config& c) { return read_milliseconds(text, &c.bootstrap_timeout); },
     [](const Config& c) { return between(c.bootstrap_timeout, milliseconds(100), milliseconds(3600000)); },
     [](const Config& c) { return show_milliseconds(c.bootstrap_timeout); }},
    {"WEFT_SECRET", "1 to 1024 bytes, best random ones (openssl rand -hex 16)",
     [](const std::string& text, Config& c) { return read_text(text, &c.secret); },
     [](const Config& c) { return c.secret.size() <= kMaxSecretBytes; },
     [](const Config& c) { return c.secret; }, true},
    {"WEFT_CHECKSUM", "0 or 1",
     [](const std::string& text, Config& c) { return read_flag(text, &c.payload_checksum); },
     [](const Config&) { return true; },
     [](const Config& c) { return std::string(c.payload_checksum ? "1" : "0"); }},
    {"WEFT_COMPRESS", "auto, off, fast, dense or archive",
     [](const std::string& text, Config& c) { return read_compression(text, &c.compression); },
     [](const Config& c) { return c.compression <= CompressionChoice::kArchive; },
     [](const Config& c) { return std::string(to_string(c.compression)); }},
    {"WEFT_STATS_FILE", "a file name; %p is the process id, %h the host name, %% a percent sign",
     [](const std::string& text, Config& c) { return read_text(text, &c.stats_file); },
     [](const Config& c) { return is_file_pattern(c.stats_file); },
     [](const Config& c) { return c.stats_file; }},
    {"WEFT_STATS_INTERVAL_MS", "0 (only at close) to 3600000",
     [](const std::string& text, Config& c) { return read_milliseconds(text, &c.stats_interval); },
     [](const Config& c) { return between(c.stats_interval, milliseconds(0), milliseconds(3600000)); },
     [](const Config& c) { return show_milliseconds(c.stats_interval); }},
    {"WEFT_DEBUG", "ERROR, WARN, INFO or DEBUG",
     [](const std::string& text, Config& c) { return read_level(text, &c.log_level); },
     [](const Config& c) { return c.log_level <= LogLevel::kDebug; },
     [](const Config& c) { return std::string(kLevels[static_cast<std::size_t>(c.log_level)]); }},
    {"WEFT_IB_DISABLE", "0 or 1",
     [](const std::string& text, Config& c) { return read_flag(text, &c.rdma.disabled); },
     [](const Config&) { return true; },
     [](const Config& c) { return std::string(c.rdma.disabled ? "1" : "0"); }},
    {"WEFT_IB_HCA",
     "comma list of device name prefixes, :port behind each if wanted; = in front: exact names; ^ in "
     "front: all but these",
     [](const std::string& text, Config& c) { return read_text(text, &c.rdma.devices); },
     [](const Config& c) { return engine::HcaFilter::parse(c.rdma.devices).is_ok(); },
     [](const Config& c) { return c.rdma.devices; }},
    {"WEFT_IB_GID_INDEX", "auto or 0 to 255",
     [](const std::string& text, Config& c) {
       if (text != "auto") return read_int(text, &c.rdma.gid_index);
       c.rdma.gid_index = -1;
       return true;
     },
     [](const Config& c) { return between(c.rdma.gid_index, -1, 255); },
     [](const Config& c) { return c.rdma.gid_index == -1 ? "auto" : std::to_string(c.rdma.gid_index); }},
    {"WEFT_IB_TC", "0 to 255",
     [](const std::string& text, Config& c) { return read_int(text, &c.rdma.traffic_class); },
     [](const Config& c) { return between(c.rdma.traffic_class, 0, 255); },
     [](const Config& c) { return std::to_string(c.rdma.traffic_class); }},
    {"WEFT_IB_SL", "0 to 15",
     [](const std::string& text, Config& c) { return read_int(text, &c.rdma.service_level); },
     [](const Config& c) { return between(c.rdma.service_level, 0, 15); },
     [](const Config& c) { return std::to_string(c.rdma.service_level); }},
    {"WEFT_IB_TIMEOUT", "1 to 31",
     [](const std::string& text, Config& c) { return read_int(text, &c.rdma.timeout); },
     [](const Config& c) { return between(c.rdma.timeout, 1, 31); },
     [](const Config& c) { return std::to_string(c.rdma.timeout); }},
    {"WEFT_IB_RETRY_CNT", "0 to 6 (7 may never end)",
     [](const std::string& text, Config& c) { return read_int(text, &c.rdma.retry_count); },
     [](const Config& c) { return between(c.rdma.retry_count, 0, 6); },
     [](const Config& c) { return std::to_string(c.rdma.retry_count); }},
    {"WEFT_IB_PCI_RELAXED_ORDERING", "0 or 1",
     [](const std::string& text, Config& c) { return read_flag(text, &c.rdma.relaxed_ordering); },
     [](const Config&) { return true; },
     [](const Config& c) { return std::string(c.rdma.relaxed_ordering ? "1" : "0"); }},
    {"WEFT_GPU_DIRECT", "auto, on or off",
     [](const std::string& text, Config& c) { return read_choice(text, &c.rdma.gpu_direct); },
     [](const Config& c) { return c.rdma.gpu_direct <= GpuDirectChoice::kOff; },
     [](const Config& c) { return show_choice(c.rdma.gpu_direct); }},
    {"WEFT_MRC", "auto, on or off",
     [](const std::string& text, Config& c) { return read_choice(text, &c.rdma.mrc); },
     [](const Config& c) { return c.rdma.mrc <= MrcChoice::kOff; },
     [](const Config& c) { return show_choice(c.rdma.mrc); }},
    {"WEFT_MRC_EV_PROFILE", "auto or 0 to 9223372036854775807",
     [](const std::string& text, Config& c) { return read_profile(text, &c.rdma.mrc_ev_profile); },
     [](const Config& c) { return c.rdma.mrc_ev_profile >= -1; },
     [](const Config& c) { return show_profile(c.rdma.mrc_ev_profile); }},
    {"WEFT_MRC_CC_PROFILE", "auto or 0 to 9223372036854775807",
     [](const std::string& text, Config& c) { return read_profile(text, &c.rdma.mrc_cc_profile); },
     [](const Config& c) { return c.rdma.mrc_cc_profile >= -1; },
     [](const Config& c) { return show_profile(c.rdma.mrc_cc_profile); }},
};

constexpr OtherVariable kOthers[] = {
    {"WEFT_BOOTSTRAP", "unset", "host:port"},
    {"WEFT_JOB_ID", "unset", "any text"},
};

constexpr std::string_view kForeign[] = {"WEFT_ROOT", "WEFT_DIR",    "WEFT_HOME",  "WEFT_SERVICE_*",
                                         "WEFT_PORT", "WEFT_PORT_*", "WEFT_TEST_*"};

}  // namespace

std::string_view to_string(CompressionChoice choice) {
  return kCompressions[static_cast<std::size_t>(choice)];
}

std::span<const ConfigVariable> config_variables() {
  return kVariables;
}
std::span<const OtherVariable> other_variables() {
  return kOthers;
}
std::span<const std::string_view> foreign_names() {
  return kForeign;
}

}  // namespace weft
