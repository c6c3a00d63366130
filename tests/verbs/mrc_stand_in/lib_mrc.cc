// Stands in for lib_mrc.so where no NIC speaks MRC: the functions that Weft calls, over reliable connections
// of libibverbs. It is as strict as the API allows a real one to be, and as disorderly: it refuses whatever
// an MRC queue pair cannot do, keeps to the limits of immediates, lets a sender fail that finds no receive,
// and hands over what has come in another order than it was sent. It does not spray.
//
//   WEFT_TEST_MRC_VERSION=2.0.0      version of the API that it claims (1.0.1)
//   WEFT_TEST_MRC_IMMEDIATES=64      that a device sends and takes at once (128)
//   WEFT_TEST_MRC_DEVICES=a,b        devices that speak MRC (all)
//   WEFT_TEST_MRC_REPORT=1           says at the end, on standard error, what it did
//
// Threads: any, as the real one. Its clients must not share a completion queue between threads.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "transport/verbs/mrc_library.h"

namespace weft::verbs::mrc {

struct Context {
  ibv_context* verbs = nullptr;
};

struct Completions {
  ibv_cq* verbs = nullptr;
  std::mutex mutex;
  std::map<std::uint32_t, Queue*> queues;  // by number
  std::vector<ibv_wc> held;                // of receives
  int polls_held = 0;
  std::uint32_t chance = 0x2545F491;
};

struct Queue {
  struct Posted {
    std::uint64_t id;
    std::uint32_t immediates;  // this one and those before it
  };
  ibv_qp* verbs = nullptr;
  Completions* sends = nullptr;
  ibv_qp_state state = IBV_QPS_RESET;
  std::uint32_t most_immediates = 0;
  std::uint32_t immediates_posted = 0;
  std::uint32_t immediates_done = 0;
  std::deque<Posted> posted;
};

namespace {

constexpr int kMostPollsHeld = 3;
constexpr std::size_t kMostHeld = 64;

struct Report {
  std::atomic<std::uint64_t> immediates{0};
  std::atomic<std::uint64_t> out_of_order{0};
  std::atomic<std::uint64_t> refused{0};

  ~Report() {
    if (std::getenv("WEFT_TEST_MRC_REPORT") == nullptr) return;
    std::fprintf(
        stderr,
        "lib_mrc stand-in: %llu immediates came, %llu handed over out of order, %llu requests refused\n",
        static_cast<unsigned long long>(immediates), static_cast<unsigned long long>(out_of_order),
        static_cast<unsigned long long>(refused));
  }
};
Report report;

int refuse(int error = EINVAL) {
  ++report.refused;
  return error;
}

bool speaks_mrc(ibv_context* device) {
  const char* list = std::getenv("WEFT_TEST_MRC_DEVICES");
  if (list == nullptr) return true;
  const std::string wanted = "," + std::string(list) + ",";
  return wanted.find("," + std::string(ibv_get_device_name(device->device)) + ",") != std::string::npos;
}

std::uint32_t claimed_version() {
  unsigned major = 1, minor = 0, fix = 1;
  if (const char* text = std::getenv("WEFT_TEST_MRC_VERSION"))
    std::sscanf(text, "%u.%u.%u", &major, &minor, &fix);
  return version(major, minor, fix);
}

std::uint16_t most_immediates() {
  const char* text = std::getenv("WEFT_TEST_MRC_IMMEDIATES");
  return static_cast<std::uint16_t>(text == nullptr ? 128 : std::atoi(text));
}

int query(ibv_context* device, DeviceAttributes* attributes, int* supported) {
  *attributes = {};
  attributes->protocol_versions = 1;
  attributes->immediates = {most_immediates(), most_immediates()};
  *supported = speaks_mrc(device) ? 1 : 0;
  return 0;
}

// Which of MRC's own attributes belong to the step to a state.
int attributes_of(ibv_qp_state state) {
  switch (state) {
    case IBV_QPS_INIT:
      return kWayProfile | kCongestionProfile;
    case IBV_QPS_RTR:
      return kImmediatesReceived;
    case IBV_QPS_RTS:
      return kImmediatesSent | kTimeout | kRetries;
    default:
      return 0;
  }
}

int modify(Queue& queue, ibv_qp_attr attributes, int mask, const QueueAttributes& own, int own_mask) {
  constexpr int kUnsupported = IBV_QP_PORT | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                               IBV_QP_MIN_RNR_TIMER | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_MAX_DEST_RD_ATOMIC |
                               IBV_QP_ALT_PATH | IBV_QP_PATH_MIG_STATE;
  if ((mask & IBV_QP_STATE) == 0 || (mask & kUnsupported) != 0) return refuse();
  if ((own_mask & ~attributes_of(attributes.qp_state)) != 0) return refuse();
  switch (attributes.qp_state) {
    case IBV_QPS_INIT:
      attributes.port_num = 1;
      mask |= IBV_QP_PORT;
      break;
    case IBV_QPS_RTR:
      if ((own_mask & kImmediatesReceived) != 0 && own.immediates.received > most_immediates())
        return refuse();
      attributes.max_dest_rd_atomic = 0;
      attributes.min_rnr_timer = 1;
      mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
      break;
    case IBV_QPS_RTS:
      if (own.timeout > kLargestTimeout || own.even_retries > kMostEvenRetries) return refuse();
      if (own.immediates.sent == 0 || own.immediates.sent > most_immediates()) return refuse();
      queue.most_immediates = own.immediates.sent;
      attributes.timeout = static_cast<std::uint8_t>(std::max(1, own.timeout - 2));
      attributes.retry_cnt = std::min<std::uint8_t>(own.even_retries, 6);
      attributes.rnr_retry = 0;  // a receive that is not there is an error
      attributes.max_rd_atomic = 0;
      mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
      break;
    case IBV_QPS_ERR:
    case IBV_QPS_RESET:
      break;
    default:
      return refuse();
  }
  const int error = ibv_modify_qp(queue.verbs, &attributes, mask);
  if (error == 0) queue.state = attributes.qp_state;
  return error;
}

// 0 where this may be posted behind `immediates` others of the same call.
int admit(const Queue& queue, const ibv_send_wr& request, std::uint32_t immediates) {
  if (queue.state != IBV_QPS_RTS) return EINVAL;
  if (request.opcode != IBV_WR_RDMA_WRITE && request.opcode != IBV_WR_RDMA_WRITE_WITH_IMM) return EOPNOTSUPP;
  const std::uint32_t under_way = queue.immediates_posted - queue.immediates_done + immediates;
  if (request.opcode == IBV_WR_RDMA_WRITE_WITH_IMM && under_way >= queue.most_immediates) return ENOMEM;
  return 0;
}

void note_sent(Completions& completions, const ibv_wc& done) {
  const auto found = completions.queues.find(done.qp_num);
  if (found == completions.queues.end()) return;
  Queue& queue = *found->second;
  while (!queue.posted.empty()) {
    const Queue::Posted first = queue.posted.front();
    queue.posted.pop_front();
    queue.immediates_done = first.immediates;
    if (first.id == done.wr_id) break;
  }
}

std::uint32_t next_chance(Completions& completions) {
  std::uint32_t& x = completions.chance;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return x;
}

// Hands over some of what is held, in any order; nothing is held for long.
int hand_over(Completions& completions, ibv_wc* out, int most) {
  std::vector<ibv_wc>& held = completions.held;
  if (held.empty() || most == 0) return 0;
  const bool all = ++completions.polls_held > kMostPollsHeld || held.size() >= kMostHeld;
  std::size_t count = all ? held.size() : next_chance(completions) % (held.size() + 1);
  count = std::min(count, static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t chosen = next_chance(completions) % held.size();
    if (chosen != 0) ++report.out_of_order;
    out[i] = held[chosen];
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  if (held.empty()) completions.polls_held = 0;
  return static_cast<int>(count);
}

int poll(Completions& completions, ibv_wc* out, int most) {
  int given = 0;
  while (given < most) {
    ibv_wc fresh{};
    const int count = ibv_poll_cq(completions.verbs, 1, &fresh);
    if (count < 0) return -1;
    if (count == 0) break;
    // Without success the opcode says nothing; then order does not matter any more.
    if (fresh.status == IBV_WC_SUCCESS && fresh.opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
      ++report.immediates;
      completions.held.push_back(fresh);
      if (completions.held.size() >= kMostHeld) break;
      continue;
    }
    note_sent(completions, fresh);
    out[given++] = fresh;
  }
  return given + hand_over(completions, out + given, most - given);
}

}  // namespace

extern "C" {

void mrc_query_version(std::uint32_t* newest, std::uint32_t* oldest, std::uint32_t* vendor_newest,
                       std::uint32_t* vendor_oldest) {
  *newest = claimed_version();
  *oldest = version(major_of(claimed_version()), 0, 0);
  *vendor_newest = *vendor_oldest = version(1, 0, 0);
}

int mrc_query_device(ibv_context* device, DeviceAttributes* attributes, int* supported) {
  return query(device, attributes, supported);
}

int mrc_query_device_ex(ibv_context* device, Context* context, DeviceAttributes* attributes, int* supported) {
  if (context == nullptr || context->verbs != device) return errno = refuse(), -1;
  return query(device, attributes, supported);
}

Context* mrc_create_context(ibv_context* device, ContextAttributes* attributes) {
  if (attributes != nullptr && attributes->api_version > claimed_version()) return errno = refuse(), nullptr;
  return new Context{device};
}

int mrc_destroy_context(Context* context) {
  delete context;
  return 0;
}

Completions* mrc_create_cq(Context* context, int entries, void*, void*, int vector) {
  auto* made = new Completions;
  made->verbs = ibv_create_cq(context->verbs, entries, nullptr, nullptr, vector);
  if (made->verbs != nullptr) return made;
  delete made;
  return nullptr;
}

int mrc_poll_cq(Completions* completions, int most, ibv_wc* out) {
  std::lock_guard lock(completions->mutex);
  return poll(*completions, out, most);
}

int mrc_destroy_cq(Completions* completions) {
  if (int error = ibv_destroy_cq(completions->verbs); error != 0) return error;
  delete completions;
  return 0;
}

Queue* mrc_create_qp(Context*, QueueWish* wish) {
  constexpr std::uint64_t kPossible = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
  if (wish->receives != wish->sends || (wish->operations & ~kPossible) != 0 ||
      wish->capacity.max_inline_data != 0 || (wish->wire_protocol & ~1u) != 0)
    return errno = refuse(), nullptr;
  auto* made = new Queue;
  made->sends = wish->sends;
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = wish->sends->verbs;
  attributes.cap = wish->capacity;
  attributes.qp_type = IBV_QPT_RC;
  attributes.sq_sig_all = wish->signal_all;
  made->verbs = ibv_create_qp(wish->domain, &attributes);
  if (made->verbs == nullptr) {
    delete made;
    return nullptr;
  }
  std::lock_guard lock(made->sends->mutex);
  made->sends->queues[made->verbs->qp_num] = made;
  return made;
}

int mrc_destroy_qp(Queue* queue) {
  {
    std::lock_guard lock(queue->sends->mutex);
    queue->sends->queues.erase(queue->verbs->qp_num);
    std::erase_if(queue->sends->held, [&](const ibv_wc& one) { return one.qp_num == queue->verbs->qp_num; });
  }
  if (int error = ibv_destroy_qp(queue->verbs); error != 0) return error;
  delete queue;
  return 0;
}

int mrc_modify_qp(Queue* queue, ibv_qp_attr* attributes, int mask, QueueAttributes* own, int own_mask) {
  return modify(*queue, *attributes, mask, *own, own_mask);
}

int mrc_get_qpn(Queue* queue, std::uint32_t* number) {
  *number = queue->verbs->qp_num;
  return 0;
}

int mrc_post_recv(Queue* queue, ibv_recv_wr* requests, ibv_recv_wr** bad) {
  if (queue->state != IBV_QPS_RTR && queue->state != IBV_QPS_RTS) {
    *bad = requests;
    return refuse();
  }
  return ibv_post_recv(queue->verbs, requests, bad);
}

int mrc_post_send(Queue* queue, ibv_send_wr* requests, ibv_send_wr** bad) {
  std::lock_guard lock(queue->sends->mutex);
  std::uint32_t immediates = 0;
  for (ibv_send_wr* each = requests; each != nullptr; each = each->next) {
    if (int error = admit(*queue, *each, immediates); error != 0) {
      *bad = each;
      return refuse(error);
    }
    immediates += each->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
  }
  for (ibv_send_wr* each = requests; each != nullptr; each = each->next) {
    queue->immediates_posted += each->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
    queue->posted.push_back({each->wr_id, queue->immediates_posted});
  }
  return ibv_post_send(queue->verbs, requests, bad);
}

}  // extern "C"

}  // namespace weft::verbs::mrc
