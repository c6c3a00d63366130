#include "tests/verbs/scripted_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weft::verbs {

struct ScriptedDevice::Completions {
  ibv_cq handle{};  // the first member: the verbs hand it back
  std::deque<ibv_wc> waiting;
};

struct ScriptedDevice::Receives {
  ibv_srq handle{};
  std::deque<ibv_sge> posted;
  std::deque<std::uint64_t> ids;
};

struct ScriptedDevice::Queue {
  ibv_qp handle{};
  Completions* completions = nullptr;
  Receives* receives = nullptr;
  ibv_qp_state state = IBV_QPS_RESET;
  std::deque<Sent> outstanding;
};

ScriptedDevice& ScriptedDevice::of(const ibv_context* context) {
  return *static_cast<ScriptedDevice*>(context->abi_compat);
}

ScriptedDevice::ScriptedDevice() {
  context_.abi_compat = this;
  domain_.context = &context_;
  install_functions();
}

ScriptedDevice::~ScriptedDevice() = default;

void ScriptedDevice::push(Completions& to, const ibv_wc& completion) {
  to.waiting.push_back(completion);
}

void ScriptedDevice::install_functions() {
  context_.ops.poll_cq = [](ibv_cq* cq, int most, ibv_wc* out) {
    if (of(cq->context).refuses.poll) return -1;
    auto& waiting = reinterpret_cast<Completions*>(cq)->waiting;
    int count = 0;
    for (; count < most && !waiting.empty(); ++count) {
      out[count] = waiting.front();
      waiting.pop_front();
    }
    return count;
  };
  context_.ops.post_srq_recv = [](ibv_srq* srq, ibv_recv_wr* request, ibv_recv_wr** bad) {
    *bad = request;
    if (of(srq->context).refuses.receives) return ENOMEM;
    auto& receives = *reinterpret_cast<Receives*>(srq);
    for (; request != nullptr; request = request->next) {
      receives.posted.push_back(*request->sg_list);
      receives.ids.push_back(request->wr_id);
    }
    return 0;
  };
  context_.ops.post_send = [](ibv_qp* qp, ibv_send_wr* request, ibv_send_wr** bad) {
    *bad = request;
    ScriptedDevice& device = of(qp->context);
    if (device.refuses.sends) return ENOMEM;
    auto& queue = *reinterpret_cast<Queue*>(qp);
    for (; request != nullptr; request = request->next) {
      Sent sent;
      sent.id = request->wr_id;
      sent.operation = request->opcode;
      sent.signaled = (request->send_flags & IBV_SEND_SIGNALED) != 0;
      sent.pieces = request->num_sge;
      sent.copied = (request->send_flags & IBV_SEND_INLINE) != 0;
      if (request->num_sge != 0) {
        sent.local_address = request->sg_list->addr;
        sent.local_key = request->sg_list->lkey;
      }
      for (int i = 0; i < request->num_sge; ++i) {
        sent.length += request->sg_list[i].length;
        if (request->opcode != IBV_WR_SEND) continue;
        const auto* at = reinterpret_cast<const std::byte*>(request->sg_list[i].addr);
        sent.message.insert(sent.message.end(), at, at + request->sg_list[i].length);
      }
      sent.remote_address = request->wr.rdma.remote_addr;
      sent.remote_key = request->wr.rdma.rkey;
      device.sent_.push_back(sent);
      queue.outstanding.push_back(std::move(sent));
    }
    return 0;
  };
  verbs_.query_device = [](ibv_context*, ibv_device_attr* limits) {
    *limits = {};
    limits->max_cqe = 1 << 16;
    limits->max_srq_wr = 1 << 14;
    return 0;
  };
  verbs_.create_cq = [](ibv_context* context, int, void* owner, ibv_comp_channel*, int) {
    std::lock_guard lock(of(context).mutex_);
    auto* made = new Completions;
    made->handle.cq_context = owner;
    made->handle.context = context;
    of(context).completion_queues_.push_back(made);
    return &made->handle;
  };
  verbs_.destroy_cq = [](ibv_cq* cq) {
    std::lock_guard lock(of(cq->context).mutex_);
    auto* gone = reinterpret_cast<Completions*>(cq);
    ScriptedDevice& device = of(cq->context);
    std::replace(device.completion_queues_.begin(), device.completion_queues_.end(), gone,
                 static_cast<Completions*>(nullptr));
    std::erase_if(device.places_, [&](const auto& place) { return place.second.first == gone; });
    delete gone;
    return 0;
  };
  verbs_.create_srq = [](ibv_pd* pd, ibv_srq_init_attr*) {
    auto* made = new Receives;
    made->handle.context = pd->context;
    return &made->handle;
  };
  verbs_.destroy_srq = [](ibv_srq* srq) {
    delete reinterpret_cast<Receives*>(srq);
    return 0;
  };
  verbs_.create_qp = [](ibv_pd* pd, ibv_qp_init_attr* wanted) {
    std::lock_guard lock(of(pd->context).mutex_);
    ScriptedDevice& device = of(pd->context);
    auto* made = new Queue;
    made->handle.context = pd->context;
    made->handle.qp_context = wanted->qp_context;
    made->handle.qp_num = device.next_number_++;
    made->completions = reinterpret_cast<Completions*>(wanted->send_cq);
    made->receives = reinterpret_cast<Receives*>(wanted->srq);
    device.queues_[made->handle.qp_num] = made;
    device.places_[made->handle.qp_num] = {made->completions, made->receives};
    device.made_.push_back(made->handle.qp_num);
    return &made->handle;
  };
  verbs_.modify_qp = [](ibv_qp* qp, ibv_qp_attr* attributes, int) {
    std::lock_guard lock(of(qp->context).mutex_);
    ScriptedDevice& device = of(qp->context);
    auto& queue = *reinterpret_cast<Queue*>(qp);
    if (attributes->qp_state == IBV_QPS_ERR) {
      if (device.refuses.modify_to_error) return EIO;
      queue.state = IBV_QPS_ERR;
      device.complete_sends(qp->qp_num, IBV_WC_WR_FLUSH_ERR);
    }
    queue.state = attributes->qp_state;
    return 0;
  };
  verbs_.destroy_qp = [](ibv_qp* qp) {
    ScriptedDevice& device = of(qp->context);
    if (device.before_destroying) device.before_destroying();
    if (device.refuses_to_destroy) return EBUSY;
    std::lock_guard lock(device.mutex_);
    device.queues_.erase(qp->qp_num);
    delete reinterpret_cast<Queue*>(qp);
    return 0;
  };
  verbs_.plain_reg_mr = [](ibv_pd* pd, void* address, std::size_t bytes, int) {
    std::lock_guard lock(of(pd->context).mutex_);
    auto* made = new ibv_mr{};
    made->context = pd->context;
    made->addr = address;
    made->length = bytes;
    made->lkey = made->rkey = of(pd->context).next_key_++;
    return made;
  };
  verbs_.dereg_mr = [](ibv_mr* region) {
    delete region;
    return 0;
  };
  verbs_.wc_status_str = [](ibv_wc_status) { return "as the test says"; };
}

RailPort ScriptedDevice::port(std::uint8_t plane) {
  RailPort port;
  port.verbs = &verbs_;
  port.context = &context_;
  port.protection_domain = &domain_;
  port.name = "scripted" + std::to_string(plane) + ":1";
  port.events = std::make_shared<PortEvents>();
  port.read_address = [plane]() -> Result<PortAddress> {
    PortAddress address;
    address.gid.bytes = *parse_gid("10.0." + std::to_string(plane) + ".1");
    address.mtu = 5;
    return address;
  };
  return port;
}

ScriptedDevice::Queue* ScriptedDevice::find(std::uint32_t number) const {
  const auto found = queues_.find(number);
  return found == queues_.end() ? nullptr : found->second;
}

bool ScriptedDevice::is_in_service(std::uint32_t number) const {
  std::lock_guard lock(mutex_);
  const Queue* queue = find(number);
  return queue != nullptr && queue->state != IBV_QPS_ERR;
}

const std::deque<ScriptedDevice::Sent>& ScriptedDevice::sends(std::uint32_t number) const {
  std::lock_guard lock(mutex_);
  static const std::deque<Sent> kNone;
  const Queue* queue = find(number);
  return queue == nullptr ? kNone : queue->outstanding;
}

std::size_t ScriptedDevice::queue_pairs() const {
  std::lock_guard lock(mutex_);
  return queues_.size();
}

std::vector<ScriptedDevice::Sent> ScriptedDevice::take_sent() {
  return std::exchange(sent_, {});
}

std::optional<std::uint64_t> ScriptedDevice::take_receive(Receives& receives,
                                                          std::span<const std::byte> message) {
  if (receives.posted.empty()) return std::nullopt;
  const ibv_sge place = receives.posted.front();
  const std::uint64_t id = receives.ids.front();
  receives.posted.pop_front();
  receives.ids.pop_front();
  std::memcpy(reinterpret_cast<void*>(place.addr), message.data(),
              std::min<std::size_t>(message.size(), place.length));
  return id;
}

void ScriptedDevice::receive(std::uint32_t number, std::span<const std::byte> message) {
  std::lock_guard lock(mutex_);
  const auto place = places_.find(number);
  if (place == places_.end()) return;
  const auto id = take_receive(*place->second.second, message);
  if (!id) return;
  ibv_wc completion{};
  completion.wr_id = *id;
  completion.opcode = IBV_WC_RECV;
  completion.byte_len = static_cast<std::uint32_t>(message.size());
  completion.qp_num = number;
  push(*place->second.first, completion);
}

void ScriptedDevice::receive_immediate(std::uint32_t number, std::uint32_t immediate, std::uint32_t bytes) {
  std::lock_guard lock(mutex_);
  const auto place = places_.find(number);
  if (place == places_.end()) return;
  const auto id = take_receive(*place->second.second, {});
  if (!id) return;
  ibv_wc completion{};
  completion.wr_id = *id;
  completion.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
  completion.imm_data = immediate;
  completion.byte_len = bytes;
  completion.qp_num = number;
  push(*place->second.first, completion);
}

void ScriptedDevice::complete_sends(std::uint32_t number, ibv_wc_status status) {
  std::lock_guard lock(mutex_);
  Queue* const queue = find(number);
  if (queue == nullptr) return;
  for (const Sent& sent : queue->outstanding) {
    if (!sent.signaled && status == IBV_WC_SUCCESS) continue;
    ibv_wc completion{};
    completion.wr_id = sent.id;
    completion.status = status;
    completion.opcode = IBV_WC_SEND;
    completion.qp_num = number;
    push(*queue->completions, completion);
  }
  queue->outstanding.clear();
}

void ScriptedDevice::report_failure(std::size_t completion_queue) {
  std::lock_guard lock(mutex_);
  Rail::note_failure(completion_queues_[completion_queue]->handle);
}

void ScriptedDevice::complete(std::size_t completion_queue, const ibv_wc& completion) {
  std::lock_guard lock(mutex_);
  if (completion_queue < completion_queues_.size() && completion_queues_[completion_queue] != nullptr)
    push(*completion_queues_[completion_queue], completion);
}

Result<Registrar::Registration> ScriptedRegistrar::add(std::uintptr_t address, std::size_t bytes,
                                                       MemoryAccess, const MemoryOrigin&) {
  const std::uint32_t key = next_++;
  live_[key] = {address, bytes};
  return Registration{key, key, reinterpret_cast<void*>(static_cast<std::uintptr_t>(key))};
}

void ScriptedRegistrar::remove(const Registration& registration) {
  live_.erase(registration.local_key);
}

bool ScriptedRegistrar::covers(std::uint32_t key, std::uint64_t address, std::size_t bytes) const {
  const auto found = live_.find(key);
  return found != live_.end() && found->second.address <= address &&
         address + bytes <= found->second.address + found->second.bytes;
}

}  // namespace weft::verbs
