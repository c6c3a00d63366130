// weft::Connection over a link of the fabric.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "transport/fabric.h"
#include "weft/connection.h"

namespace weft {

class FabricConnection final : public Connection {
 public:
  FabricConnection(std::shared_ptr<Fabric> fabric, std::shared_ptr<FabricLink> link)
      : fabric_(std::move(fabric)), link_(std::move(link)) {}
  ~FabricConnection() override { fabric_->retire(link_); }

  RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag, MemoryKind memory) override {
    return link_->link.post_send(data, bytes, tag, memory);
  }
  RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag, MemoryKind memory) override {
    return link_->link.post_receive(data, capacity, tag, memory);
  }
  RequestId post_flush(const void* data) override { return link_->link.post_flush(data); }
  Status carries(MemoryKind memory) const override {
    if (memory == MemoryKind::kHost) return Status::ok();
    Status takes = link_->link.takes_device_memory();
    if (takes || link_->carrier != nullptr) return takes;
    const std::string& why = link_->why_not_dialled;
    return Status(takes.code(), takes.message() + " (" +
                                    (why.empty() ? "this process has " + fabric_->transport() : why) + ")");
  }
  bool has_receive_room(std::size_t count) const override { return link_->link.has_receive_room(count); }
  Completion test(RequestId request) override { return link_->link.test(request); }
  void progress() override { link_->link.progress(); }
  Status error() const override { return link_->link.error(); }
  ConnectionStatistics statistics() const override { return link_->link.statistics(); }
  Status cut_path(int path) override { return link_->link.cut_path(path); }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::shared_ptr<FabricLink> link_;
};

}  // namespace weft
