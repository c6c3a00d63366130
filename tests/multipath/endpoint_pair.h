// Two endpoints joined in memory, for tests of single rules of the core. What happens is what
// the test says: it cuts and restores paths, holds back fences, drops chosen frames and moves the clock.
// (Schedules, delays and late landing are transport/sim's.)
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "transport/multipath/endpoint.h"

namespace weft::multipath {

class EndpointPair {
 public:
  struct End {
    explicit End(const EndpointConfig& config) : endpoint(config) {}
    Endpoint endpoint;
    std::vector<Action> news;             // every action that it ordered or reported
    std::vector<std::uint32_t> attached;  // incarnation of the open connection of each path; kNone: none
    std::vector<bool> fence_held;         // ordered, and held back by the test
    const char* protocol_error = nullptr;
  };
  static constexpr std::uint32_t kNone = ~0u;

  explicit EndpointPair(EndpointConfig config) : paths_(config.path_planes.size()), cut_(paths_, false) {
    config.connects = true;
    ends_.emplace_back(config);
    config.connects = false;
    ends_.emplace_back(config);
    for (End& end : ends_) {
      end.attached.assign(paths_, kNone);
      end.fence_held.assign(paths_, false);
    }
  }

  static EndpointConfig small_config(std::size_t paths) {
    EndpointConfig config;
    for (std::size_t i = 0; i < paths; ++i) config.path_planes.push_back(static_cast<PlaneId>(i));
    config.chunk_bytes = 1024;
    return config;
  }

  Endpoint& a() { return ends_[0].endpoint; }
  Endpoint& b() { return ends_[1].endpoint; }
  End& end(int which) { return ends_[which]; }
  TimePoint now() const { return now_; }

  void connect_all() {
    for (std::size_t i = 0; i < paths_; ++i) connect(static_cast<PathId>(i), 1);
  }
  void connect(PathId path, std::uint32_t incarnation) {
    for (int which : {1, 0}) attach(which, path, incarnation);
  }
  void attach(int which, PathId path, std::uint32_t incarnation) {
    if (ends_[which].endpoint.path_connected(path, static_cast<Incarnation>(incarnation), now_))
      ends_[which].attached[index(path)] = incarnation;
  }

  // Frames on a cut path vanish without a word, and nothing can connect over it.
  void cut(PathId path) { cut_[index(path)] = true; }
  void restore(PathId path) { cut_[index(path)] = false; }
  bool hold_fences = false;
  Duration tick = std::chrono::milliseconds(1);
  Duration transit{};  // how much later it is when a frame arrives
  void release_fences(int which) {
    for (std::size_t i = 0; i < paths_; ++i) {
      if (!ends_[which].fence_held[i]) continue;
      ends_[which].fence_held[i] = false;
      ends_[which].endpoint.path_fenced(static_cast<PathId>(i), now_);
    }
  }
  // Called for each frame before it is delivered; false drops it.
  std::function<bool(int from, const Transmission&)> filter;
  // Called instead of the default (connect both ends if the path is not cut, else report failure).
  std::function<void(const Action&)> on_reconnect;

  void settle() {
    for (int idle = 0; idle < 2;) {
      bool any = false;
      for (int which : {0, 1}) {
        any |= run_actions(which);
        Transmission frame;
        while (ends_[which].endpoint.poll_transmit(now_, frame)) {
          any = true;
          deliver(which, frame);
          run_actions(which);
        }
      }
      for (End& end : ends_) end.endpoint.flush_feedback();
      idle = any ? 0 : idle + 1;
    }
  }
  void advance(Duration duration) {
    for (TimePoint until = now_ + duration; now_ < until;) {
      now_ += tick;
      for (End& end : ends_) end.endpoint.tick(now_);
      settle();
    }
  }

 private:
  bool run_actions(int which) {
    End& end = ends_[which];
    Action action;
    bool any = false;
    while (end.endpoint.poll_action(action)) {
      any = true;
      end.news.push_back(action);
      std::size_t path = index(action.path);
      if (action.kind == ActionKind::kFence) {
        end.attached[path] = kNone;
        if (hold_fences) {
          end.fence_held[path] = true;
        } else {
          end.endpoint.path_fenced(action.path, now_);
        }
      } else if (action.kind == ActionKind::kReconnect) {
        if (on_reconnect) {
          on_reconnect(action);
        } else if (cut_[path]) {
          end.endpoint.reconnect_failed(action.path, now_);
        } else {
          connect(action.path, number(action.incarnation));
        }
      }
    }
    return any;
  }

  void deliver(int from, const Transmission& frame) {
    End& to = ends_[1 - from];
    std::size_t path = index(frame.path);
    std::uint32_t incarnation = ends_[from].attached[path];
    if (incarnation == kNone || to.attached[path] != incarnation || cut_[path]) return;
    if (filter && !filter(from, frame)) return;
    now_ += transit;
    std::byte wire[kHeaderBytes];
    encode(frame.header, wire);
    FrameHeader header;
    if (decode(wire, header) != FrameError::kNone) {
      to.protocol_error = "decode";
      return;
    }
    Incarnation inc = static_cast<Incarnation>(incarnation);
    const char* error = nullptr;
    if (header.type == FrameType::kData) {
      Landing landing = to.endpoint.data_begins(frame.path, inc, header);
      if (landing.verdict == LandingVerdict::kPlace && header.length != 0)
        std::memcpy(landing.at, frame.payload, header.length);
      error = landing.verdict == LandingVerdict::kProtocolError
                  ? landing.error
                  : to.endpoint.data_landed(frame.path, inc, header, now_);
    } else {
      error = to.endpoint.handle_frame(frame.path, inc, header, now_);
    }
    if (error != nullptr) to.protocol_error = error;
  }

  std::size_t paths_;
  std::vector<bool> cut_;
  std::vector<End> ends_;
  TimePoint now_{std::chrono::seconds(1)};
};

}  // namespace weft::multipath
