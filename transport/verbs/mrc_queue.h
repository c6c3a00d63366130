// The queue pair of a path on a NIC that speaks MRC (mrc_library.h): it sprays over its plane by itself, so
// that a plane needs one. mrc_immediate.h says how frames travel.
//
// Threads, allocation: as QueuePair.
#pragma once

#include <array>

#include "transport/verbs/mrc_device.h"
#include "transport/verbs/mrc_immediate.h"
#include "transport/verbs/queue_pair.h"

namespace weft::verbs {

class MrcQueue final : public QueuePair {
 public:
  MrcQueue(std::shared_ptr<Rail> rail, std::uint32_t token);
  ~MrcQueue() override;

  PathOffer offer() const override;
  // The flow label is of no use: the NIC has many.
  Status connect(const PathOffer& peer, std::uint32_t flow_label) override;

  void stage_message(std::size_t bytes, bool signal) override;
  void stage_gathered(std::size_t bytes, const LocalBytes& behind) override;
  void stage_write(const LocalBytes& from, const RemoteBytes& to) override;
  void stage_chunk(const LocalBytes& from, const RemoteBytes& to, const Immediate& chunk) override;
  const char* arrived(const ibv_wc& completion) override;
  bool next_arrival(Arrival& out) override;
  bool answer_arrivals() override;
  bool destroy() override;

 private:
  struct Landed {
    MrcImmediate immediate;
    std::uint32_t length = 0;
  };
  static constexpr std::uint32_t kReceivesAtOnce = 32;

  Status open(bool peer_may_write) override;
  Status create_queue(ibv_pd* domain);
  std::uint32_t room() const override;
  int post(ibv_send_wr* first) override;
  bool put_in_error() override;

  int post_receives();
  ibv_send_wr& stage_immediate(MrcImmediate::Kind kind, std::uint32_t detail, const LocalBytes& from,
                               const RemoteBytes& to);
  ibv_send_wr& stage_in_inbox(std::size_t bytes);
  std::uint16_t received_at_once() const;
  std::uint32_t tell_credit();
  bool is_frame(const Landed& landed, Arrival& out);

  const MrcDevice& device_;
  mrc::Queue* queue_ = nullptr;
  std::vector<std::byte> inbox_;
  ibv_mr* inbox_memory_ = nullptr;
  std::array<std::byte, kMessageBytes> message_{};  // a copy: the peer could write to the inbox meanwhile

  MrcInbox peer_inbox_;
  std::uint32_t depth_ = 0;  // work requests that may be under way, all of them immediates
  MrcCredit credit_;
  InOrder<Landed> landed_;
  std::uint32_t told_ = 0;           // of landed_.taken()
  std::uint32_t owed_receives_ = 0;  // that have been used and not posted again
};

}  // namespace weft::verbs
