// What getProperties must say.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "bench/conform/check.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

bool all_bytes_are(const std::vector<uint8_t>& raw, const PropertyField& field, uint8_t value) {
  for (size_t i = 0; i < field.bytes; ++i) {
    if (raw[field.offset + i] != value) return false;
  }
  return true;
}

void every_field_written(CheckContext& context) {
  Session session(context);
  for (int device = 0; device < session.devices(); ++device) {
    DeviceProperties properties;
    std::vector<uint8_t> first;
    std::vector<uint8_t> second;
    require_success(session.plugin().get_properties(device, 0xA5, &properties, &first), "getProperties");
    require_success(session.plugin().get_properties(device, 0x5A, &properties, &second), "getProperties");
    std::string untouched;
    for (const PropertyField& field : session.plugin().property_fields()) {
      if (all_bytes_are(first, field, 0xA5) && all_bytes_are(second, field, 0x5A)) {
        untouched += untouched.empty() ? field.name : std::string(", ") + field.name;
      }
    }
    require(untouched.empty(), [&] {
      return fmt::format("device {}: not written, so NCCL reads what was on its stack: {}", device,
                         untouched);
    });
  }
}

void stable(CheckContext& context) {
  Session session(context);
  for (int device = 0; device < session.devices(); ++device) {
    const DeviceProperties before = session.properties(device);
    const std::string name = before.name ? before.name : "";
    for (int round = 0; round < 100; ++round) {
      const DeviceProperties now = session.properties(device);
      require(now.name && before.name && name == now.name && name == before.name,
              [&] { return fmt::format("device {}: its name changes from call to call", device); });
      require(now.speed_mbps == before.speed_mbps && now.guid == before.guid && now.port == before.port &&
                  now.max_recvs == before.max_recvs && now.ptr_support == before.ptr_support &&
                  now.max_p2p_bytes == before.max_p2p_bytes,
              [&] { return fmt::format("device {}: its properties change from call to call", device); });
    }
    int devices = -1;
    require_success(session.plugin().devices(&devices), "devices");
    require(devices == session.devices(), "devices reports another number on a second call");
  }
}

void names_unique(CheckContext& context) {
  Session session(context);
  std::set<std::string> names;
  for (int device = 0; device < session.devices(); ++device) {
    const DeviceProperties properties = session.properties(device);
    require(properties.name != nullptr && properties.name[0] != '\0',
            [&] { return fmt::format("device {} has no name", device); });
    require(names.insert(properties.name).second,
            [&] { return fmt::format("two devices are called \"{}\"", properties.name); });
  }
}

void speed_sane(CheckContext& context) {
  Session session(context);
  for (int device = 0; device < session.devices(); ++device) {
    const DeviceProperties properties = session.properties(device);
    require(properties.speed_mbps > 0 && properties.speed_mbps <= 100'000'000, [&] {
      return fmt::format("device {}: speed {} is no number of Mb/s that NCCL's graph search can use", device,
                         properties.speed_mbps);
    });
    require(std::isfinite(properties.latency_us) && properties.latency_us >= 0 && properties.latency_us < 1e6,
            [&] { return fmt::format("device {}: latency {} us", device, properties.latency_us); });
    require(properties.port >= 0 && properties.port < 65536,
            [&] { return fmt::format("device {}: port {}", device, properties.port); });
  }
}

void limits_sane(CheckContext& context) {
  Session session(context);
  for (int device = 0; device < session.devices(); ++device) {
    const DeviceProperties properties = session.properties(device);
    auto text = [&](const std::string& what) { return fmt::format("device {}: {}", device, what); };
    require((properties.ptr_support & nccl::kPtrHost) != 0, text("ptrSupport lacks host memory"));
    require((properties.ptr_support & ~0x7) == 0,
            text(fmt::format("ptrSupport {:#x} has unknown bits", properties.ptr_support)));
    require(properties.max_comms > 0, text(fmt::format("maxComms is {}", properties.max_comms)));
    require(properties.max_recvs >= 1, text(fmt::format("maxRecvs is {}", properties.max_recvs)));
    require(properties.max_p2p_bytes > 0 && properties.max_p2p_bytes <= nccl::kMaxNetBytes,
            text(fmt::format("maxP2pBytes {} is outside 1 to 2^40", properties.max_p2p_bytes)));
    require(properties.max_coll_bytes > 0 && properties.max_coll_bytes <= nccl::kMaxNetBytes,
            text(fmt::format("maxCollBytes {} is outside 1 to 2^40", properties.max_coll_bytes)));
    require(properties.reg_is_global == 0 || properties.reg_is_global == 1,
            text("regIsGlobal is neither 0 nor 1"));
    require(properties.force_flush == 0 || properties.force_flush == 1,
            text("forceFlush is neither 0 nor 1"));
    require(properties.max_multi_request_size >= 1,
            text(fmt::format("maxMultiRequestSize is {}", properties.max_multi_request_size)));
    require(properties.rail_id >= -1 && properties.plane_id >= -1,
            text("railId or planeId is negative and not -1 (undefined)"));
    const auto type = properties.net_device_type;
    require(type == nccl::NetDeviceType::kHost || type == nccl::NetDeviceType::kUnpack,
            text(fmt::format("netDeviceType {} is none that NCCL takes from a net plugin",
                             static_cast<int>(type))));
  }
}

void pci_path_exists(CheckContext& context) {
  Session session(context);
  int without = 0;
  for (int device = 0; device < session.devices(); ++device) {
    const char* path = session.properties(device).pci_path;
    if (!path) {
      ++without;
      continue;
    }
    require(std::strncmp(path, "/sys/", 5) == 0 && access(path, F_OK) == 0,
            [&] { return fmt::format("device {}: pciPath \"{}\" is no path in /sys", device, path); });
  }
  if (without == session.devices()) throw Skip("no device has a pciPath; NCCL hangs them on the first CPU");
}

void members_sane(CheckContext& context) {
  Session session(context);
  if (session.plugin().abi() < 9) throw Skip("virtual devices came with v9");
  for (int device = 0; device < session.devices(); ++device) {
    const DeviceProperties properties = session.properties(device);
    require(properties.member_count >= 1 && properties.member_count <= session.plugin().max_members(), [&] {
      return fmt::format("device {}: vProps.ndevs is {}, NCCL's array has {}", device,
                         properties.member_count, session.plugin().max_members());
    });
    for (int i = 0; i < properties.member_count; ++i) {
      require(properties.members[i] >= 0 && properties.members[i] < session.devices(), [&] {
        return fmt::format("device {}: vProps.devs[{}] is {}, there are {} devices", device, i,
                           properties.members[i], session.devices());
      });
    }
  }
}

}  // namespace

std::vector<Check> property_checks() {
  return {
      {"properties_every_field_written", "NCCL's properties struct is uninitialised memory: fill every field",
       every_field_written, 30, nullptr},
      {"properties_stable", "NCCL asks many times, from many places, and keeps the pointers", stable, 30,
       nullptr},
      {"properties_names_unique", "NCCL tells devices apart by their names", names_unique, 30, nullptr},
      {"properties_speed_sane", "speed is in Mb/s and weighs every path in NCCL's graph search", speed_sane,
       30, nullptr},
      {"properties_limits_sane", "NCCL refuses limits that are zero, negative or absurd", limits_sane, 30,
       nullptr},
      {"properties_pci_path_exists", "NCCL places a device by its path in /sys; NULL means the first CPU",
       pci_path_exists, 30, nullptr},
      {"properties_members_sane", "NCCL copies vProps.ndevs entries of a fixed array", members_sane, 30,
       nullptr},
  };
}

}  // namespace weft::bench::conform
