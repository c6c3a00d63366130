#include "transport/sim/traffic.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace weft::sim {

Traffic::Traffic(Clock& clock, Random random, const Scenario& scenario, Account& account, FailureJudge& judge)
    : clock_(clock), random_(random), scenario_(scenario), account_(account), judge_(judge) {
  plan(0);
  if (!scenario.traffic.one_direction) plan(1);
}

void Traffic::plan(int sender) {
  const TrafficSetup& setup = scenario_.traffic;
  for (std::uint64_t k = 0; k < setup.messages; ++k) {
    std::uint64_t bytes = setup.fixed_size ? setup.largest_bytes : random_.scaled(setup.largest_bytes);
    std::uint64_t capacity = bytes + (random_.chance(0.3) ? random_.below(4096) : 0);
    if (bytes > 0 && random_.chance(setup.truncated)) capacity = random_.below(bytes);
    account_.plan(sender, bytes, capacity, static_cast<std::uint32_t>(random_.below(setup.tags)));
  }
  // The receiver's order: shuffled within blocks, but the same for equal tags.
  std::vector<std::size_t> order(setup.messages);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t begin = 0; begin < order.size(); begin += setup.shuffle) {
    std::size_t end = std::min(order.size(), begin + setup.shuffle);
    for (std::size_t i = end - 1; i > begin; --i)
      std::swap(order[i], order[begin + random_.below(i - begin + 1)]);
    for (std::uint32_t tag = 0; tag < setup.tags; ++tag) {
      std::vector<std::size_t> at, ks;
      for (std::size_t i = begin; i < end; ++i)
        if (account_.message(sender, order[i]).tag == tag) {
          at.push_back(i);
          ks.push_back(order[i]);
        }
      std::sort(ks.begin(), ks.end());
      for (std::size_t i = 0; i < at.size(); ++i) order[at[i]] = ks[i];
    }
  }
  ends_[1 - sender].receive_order = std::move(order);
}

void Traffic::join(Host& first, Host& second) {
  ends_[0].host = &first;
  ends_[1].host = &second;
  first.join(*this);
  second.join(*this);
}

void Traffic::start() {
  began_ = clock_.now();
  for (int host : {0, 1}) {
    for (Duration burst : scenario_.traffic.bursts)
      clock_.after(burst, *this, 0, static_cast<std::uint64_t>(host));
    ends_[host].next_post = clock_.now() + random_.duration(Duration(0), scenario_.traffic.pause);
    clock_.at(ends_[host].next_post, *this, 0, static_cast<std::uint64_t>(host));
  }
}

void Traffic::on_event(std::uint32_t, std::uint64_t about) {
  int host = static_cast<int>(about);
  if (ends_[host].host->is_stalled()) {
    clock_.after(std::chrono::milliseconds(1), *this, 0, about);
    return;
  }
  ends_[host].host->pump();
}

void Traffic::host_ran(int host) {
  test(host);
  post(host);
}

std::unique_ptr<Buffer> Traffic::take_buffer(int host, std::size_t bytes) {
  auto& pool = ends_[host].pool;
  for (std::size_t i = pool.size(); i-- > 0;) {
    if (pool[i].buffer->capacity() < bytes || pool[i].buffer->capacity() > 4 * bytes + 4096) continue;
    check_kept(pool[i]);
    std::unique_ptr<Buffer> buffer = std::move(pool[i].buffer);
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(i));
    return buffer;
  }
  return std::make_unique<Buffer>(bytes);
}

void Traffic::check_kept(const Kept& kept) {
  if (kept.bytes == 0) return;
  if (differs_at(kept.id, kept.buffer->data(), kept.bytes) != kept.bytes)
    account_.violation("I2: a receive buffer changed after message " + std::to_string(kept.id) +
                       " was reported");
}

void Traffic::check_buffers() {
  for (End& end : ends_)
    for (const Kept& kept : end.pool) {
      check_kept(kept);
      if (!kept.buffer->guards_stand()) account_.violation("I8: bytes beside a buffer changed");
    }
}

// How many messages of a direction may be posted by now.
std::size_t Traffic::released(std::size_t planned, std::size_t ahead) const {
  const std::vector<Duration>& bursts = scenario_.traffic.bursts;
  if (bursts.empty()) return planned;
  while (bursts_begun_ < bursts.size() && clock_.now() - began_ >= bursts[bursts_begun_]) ++bursts_begun_;
  return planned * std::min(bursts_begun_ + ahead, bursts.size()) / bursts.size();
}

bool Traffic::post_send(int host) {
  End& end = ends_[host];
  if (end.next_send >= released(account_.planned(host), 0) ||
      end.sends.size() >= scenario_.traffic.send_depth)
    return false;
  const Account::Message& message = account_.message(host, end.next_send);
  std::unique_ptr<Buffer> buffer = take_buffer(host, message.bytes);
  fill_message(message.id, buffer->data(), message.bytes);
  account_.send_posted(host, end.next_send, buffer->data(), clock_.now());
  RequestId id = end.host->core()->post_send(clock_.now(), buffer->data(), message.bytes, message.tag);
  if (id == RequestId::kNone) {
    account_.violation("a send was refused although fewer than the limit are pending");
    return false;
  }
  end.sends.push_back({id, end.next_send++, std::move(buffer)});
  return true;
}

bool Traffic::post_receive(int host) {
  End& end = ends_[host];
  if (end.next_receive >= released(end.receive_order.size(), scenario_.traffic.receives_ahead) ||
      end.receives.size() >= scenario_.traffic.receive_depth)
    return false;
  std::size_t k = end.receive_order[end.next_receive];
  const Account::Message& message = account_.message(1 - host, k);
  std::unique_ptr<Buffer> buffer = take_buffer(host, message.capacity);
  std::memset(buffer->data(), 0x5A, buffer->capacity());
  RequestId id = end.host->core()->post_receive(buffer->data(), message.capacity, message.tag);
  if (id == RequestId::kNone) {  // the slot of the receive kSlots before is still in use
    end.pool.push_back({std::move(buffer), 0, 0});
    return false;
  }
  account_.receive_posted(1 - host, k, buffer->data(), clock_.now());
  end.receives.push_back({id, k, std::move(buffer)});
  ++end.next_receive;
  return true;
}

void Traffic::post(int host) {
  End& end = ends_[host];
  if (clock_.now() < end.next_post || account_.broken()) return;
  bool any = false;
  while (true) {
    bool receive_first = random_.chance(0.5);
    bool posted =
        receive_first ? post_receive(host) || post_send(host) : post_send(host) || post_receive(host);
    if (!posted) break;
    any = true;
    if (scenario_.traffic.pause == Duration(0)) continue;
    end.next_post = clock_.now() + random_.duration(Duration(0), scenario_.traffic.pause);
    clock_.at(end.next_post, *this, 0, static_cast<std::uint64_t>(host));
    if (end.next_post > clock_.now()) break;
  }
  if (any) end.host->pump();
}

void Traffic::test(int host) {
  End& end = ends_[host];
  if (clock_.now() < end.next_test) return;
  if (scenario_.traffic.lazy_test)
    end.next_test = clock_.now() + random_.duration(Duration(0), std::chrono::milliseconds(3));
  test_requests(host, true);
  test_requests(host, false);
  if (end.stray == RequestId::kNone) return;
  Completion completion = end.host->core()->take_completion(end.stray);
  if (!completion.done) return;
  end.stray = RequestId::kNone;
  stray_failed_ = completion.status == StatusCode::kPeerLost;
  if (!stray_failed_) account_.violation("I1: a receive that no send met is done");
}

void Traffic::test_requests(int host, bool sends) {
  End& end = ends_[host];
  std::vector<Request>& requests = sends ? end.sends : end.receives;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Completion completion = end.host->core()->take_completion(requests[i].id);
    if (!completion.done) {
      if (kept != i) requests[kept] = std::move(requests[i]);
      ++kept;
      continue;
    }
    Completion stale = end.host->core()->take_completion(requests[i].id);
    if (!stale.done || stale.status != StatusCode::kInvalidArgument)
      account_.violation("I1: a request was reported twice");
    sends ? finish_send(host, requests[i], completion) : finish_receive(host, requests[i], completion);
  }
  requests.resize(kept);
}

void Traffic::finish_send(int host, Request& request, const Completion& completion) {
  account_.send_completed(host, request.k, completion, judge_.may_fail(host));
  if (completion.status == StatusCode::kPeerLost) last_failure_ = clock_.now();
  std::memset(request.buffer->data(), 0xEE, request.buffer->capacity());
  ends_[host].pool.push_back({std::move(request.buffer), 0, 0});
}

void Traffic::finish_receive(int host, Request& request, const Completion& completion) {
  account_.receive_completed(1 - host, request.k, completion, judge_.may_fail(host), *request.buffer);
  const Account::Message& message = account_.message(1 - host, request.k);
  bool good = completion.status == StatusCode::kOk;
  if (completion.status == StatusCode::kPeerLost) last_failure_ = clock_.now();
  if (good) {
    if (last_receive_ != TimePoint{}) longest_gap_ = std::max(longest_gap_, clock_.now() - last_receive_);
    last_receive_ = clock_.now();
    Duration took = clock_.now() - message.both_posted();
    longest_latency_ = std::max(longest_latency_, took);
    deliveries_.push_back({message.both_posted(), took, message.touched_paths});
  }
  ends_[host].pool.push_back({std::move(request.buffer), message.id, good ? message.wire_bytes() : 0});
}

bool Traffic::pending(int host) const {
  return !ends_[host].sends.empty() || !ends_[host].receives.empty();
}

bool Traffic::done() const {
  for (int host : {0, 1}) {
    if (pending(host)) return false;
    if (ends_[host].next_send != account_.planned(host)) return false;
    if (ends_[host].next_receive != ends_[host].receive_order.size()) return false;
  }
  return true;
}

TimePoint Traffic::oldest_wait() const {
  TimePoint oldest = TimePoint::max();
  for (int host : {0, 1}) {
    for (const Request& request : ends_[host].sends) {
      const Account::Message& message = account_.message(host, request.k);
      if (message.received) oldest = std::min(oldest, message.both_posted());
    }
    for (const Request& request : ends_[host].receives) {
      const Account::Message& message = account_.message(1 - host, request.k);
      if (message.sent) oldest = std::min(oldest, message.both_posted());
    }
  }
  return oldest;
}

TimePoint Traffic::oldest_posted(int host) const {
  TimePoint oldest = TimePoint::max();
  for (const Request& request : ends_[host].sends)
    oldest = std::min(oldest, account_.message(host, request.k).send_posted);
  for (const Request& request : ends_[host].receives)
    oldest = std::min(oldest, account_.message(1 - host, request.k).receive_posted);
  return oldest;
}

void Traffic::post_stray_receive(int host) {
  End& end = ends_[host];
  end.stray_buffer = std::make_unique<Buffer>(64);
  end.stray = end.host->core()->post_receive(end.stray_buffer->data(), 64, ~0u);
  if (end.stray == RequestId::kNone) account_.violation("a receive was refused although none is pending");
  end.host->pump();
}

std::string Traffic::describe_pending() const {
  std::string text;
  for (int host : {0, 1}) {
    text += host == 0 ? "A" : ", B";
    text += " waits for " + std::to_string(ends_[host].sends.size()) + " sends and " +
            std::to_string(ends_[host].receives.size()) + " receives";
  }
  return text;
}

}  // namespace weft::sim
