#include "transport/ucx/transport.h"

#include <fmt/format.h>

#include "transport/engine/interface_filter.h"
#include "transport/ucx/device_choice.h"
#include "transport/ucx/link_backend.h"
#include "transport/ucx/path_offer.h"

namespace weft::ucx {
namespace {

class UcxTransport final : public tcp::DialledTransport {
 public:
  explicit UcxTransport(std::shared_ptr<const engine::Log> log) : log_(std::move(log)) {}

  Status open(const Config& config, std::span<const tcp::InterfaceAddress> host);
  const char* name() const override { return "UCX"; }
  bool is_meant(const tcp::Hello& hello) const override { return has_offer(hello.options); }
  const std::vector<tcp::DialledPort>& ports() const override { return ports_; }
  Result<std::unique_ptr<tcp::DialledBackend>> make_backend(tcp::DialledPlan plan) override {
    std::vector<std::string> devices;
    for (std::size_t port : plan.ports) devices.push_back(ports_.at(port).name);
    return std::unique_ptr<tcp::DialledBackend>(
        std::make_unique<LinkBackend>(std::move(plan), shelf_, std::move(devices), log_));
  }
  std::size_t largest_chunk_bytes() const override { return std::size_t{1} << 30; }
  // Whether the peer's host has what was sent UCX does not say.
  multipath::Duration least_path_timeout() const override { return std::chrono::milliseconds(100); }
  void watch() override {}

 private:
  const std::shared_ptr<const engine::Log> log_;
  std::vector<tcp::DialledPort> ports_;
  std::shared_ptr<WorkerShelf> shelf_;  // its compartments are as `ports_`
};

Status UcxTransport::open(const Config& config, std::span<const tcp::InterfaceAddress> host) {
  auto filter = engine::InterfaceFilter::parse(config.interfaces);
  if (!filter) return filter.status();
  auto selected = tcp::select_interfaces(host, *filter, config.address_family);
  if (!selected) return selected.status();
  auto library = ucx_library();
  if (!library) return library.status();
  auto devices = list_devices(**library);
  if (!devices) return devices.status();
  auto chosen = choose_devices(*devices, host, *selected, config.address_family,
                               [](const std::string& device) { return netdevs_of(device); });
  if (!chosen) return chosen.status();
  std::vector<std::shared_ptr<DeviceContext>> contexts;
  for (const ChosenDevice& one : *chosen) {
    auto context = DeviceContext::open(**library, one.device);
    if (!context) return context.status();
    contexts.push_back(std::move(*context));
    ports_.push_back({one.device.name, one.interface.name, one.interface.address, one.interface.prefix_length,
                      one.interface.speed_mbps, one.interface.pci_path});
  }
  shelf_ = std::make_shared<WorkerShelf>(std::move(contexts));
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<tcp::DialledTransport>> open_transport(const Config& config,
                                                              std::span<const tcp::InterfaceAddress> host,
                                                              std::shared_ptr<const engine::Log> log) {
  auto transport = std::make_unique<UcxTransport>(std::move(log));
  if (Status opened = transport->open(config, host); !opened) return opened;
  return std::unique_ptr<tcp::DialledTransport>(std::move(transport));
}

}  // namespace weft::ucx
