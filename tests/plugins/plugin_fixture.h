// What the plugin's tests in every table version have in common: a plugin over a fake fabric, a listener and
// a connected pair. One thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "tests/plugins/fake_fabric.h"
#include "tests/plugins/log_capture.h"
#include "tests/plugins/versioned_net.h"

extern "C" {
extern const weft::nccl::v6::Net ncclNetPlugin_v6;
extern const weft::nccl::v8::Net ncclNetPlugin_v8;
extern const weft::nccl::v9::Net ncclNetPlugin_v9;
extern const weft::nccl::v10::Net ncclNetPlugin_v10;
extern const weft::nccl::v11::Net ncclNetPlugin_v11;
extern const weft::nccl::v12::Net ncclNetPlugin_v12;
}

namespace weft::nccl {

using fake::fabric;

template <typename A>
const typename A::Net* table() {
  if constexpr (A::kVersion == 6) return &ncclNetPlugin_v6;
  if constexpr (A::kVersion == 8) return &ncclNetPlugin_v8;
  if constexpr (A::kVersion == 9) return &ncclNetPlugin_v9;
  if constexpr (A::kVersion == 10) return &ncclNetPlugin_v10;
  if constexpr (A::kVersion == 11) return &ncclNetPlugin_v11;
  if constexpr (A::kVersion == 12) return &ncclNetPlugin_v12;
}

inline void* const kStale = reinterpret_cast<void*>(uintptr_t{0xdeadbeef});
inline void* const kOptional = reinterpret_cast<void*>(kOptionalRecvCompletion);

using Handle = std::array<unsigned char, kHandleBytes>;

template <typename A>
class NcclNet : public testing::Test {
 protected:
  NcclNet() : net_(table<A>()) {
    fake::reset();
    take_log();
    setenv("NCCL_PROTO", "Simple", 1);
    unsetenv("WEFT_DEBUG");
    EXPECT_EQ(net_.init(&context_, capture_log), Result::kSuccess);
  }
  ~NcclNet() override {
    fake::reset();
    for (void* comm : {send_, recv_}) {
      if (comm) {
        EXPECT_EQ(net_.table().close_send(comm), Result::kSuccess);
      }
    }
    if (listen_) {
      EXPECT_EQ(net_.table().close_listen(listen_), Result::kSuccess);
    }
    EXPECT_EQ(net_.finalize(context_), Result::kSuccess);
    EXPECT_EQ(fabric().connections, 0);
    EXPECT_EQ(fabric().listeners, 0);
    EXPECT_EQ(fabric().connectors, 0);
  }

  void listen() {
    handle_.fill(0xff);  // NCCL's buffer is not clean
    ASSERT_EQ(net_.listen(context_, handle_.data(), &listen_), Result::kSuccess);
  }

  void connect_pair() {
    listen();
    ASSERT_EQ(net_.connect(context_, handle_.data(), &send_), Result::kSuccess);
    ASSERT_NE(send_, nullptr);
    ASSERT_EQ(net_.accept(listen_, &recv_), Result::kSuccess);
    ASSERT_NE(recv_, nullptr);
    ASSERT_EQ(net_.table().reg_mr(recv_, buffer_.data(), sizeof buffer_, kPtrHost, &mhandle_),
              Result::kSuccess);
  }

  void* isend(const std::string& text, int tag) {
    void* request = kStale;
    EXPECT_EQ(net_.isend(send_, const_cast<char*>(text.data()), text.size(), tag, mhandle_, &request),
              Result::kSuccess);
    return request;
  }

  void* irecv(std::vector<void*> data, size_t capacity, std::vector<int> tags) {
    void* request = kOptional;
    std::vector<size_t> capacities(data.size(), capacity);
    EXPECT_EQ(net_.irecv(recv_, data, capacities, tags, mhandle_, &request), Result::kSuccess);
    return request;
  }

  bool is_done(void* request, int* sizes = nullptr) {
    int done = 77;
    EXPECT_EQ(net_.table().test(request, &done, sizes), Result::kSuccess);
    EXPECT_TRUE(done == 0 || done == 1) << done;
    return done == 1;
  }

  VersionedNet<A> net_;
  void* context_ = kStale;
  Handle handle_{};
  void* listen_ = nullptr;
  void* send_ = nullptr;
  void* recv_ = nullptr;
  void* mhandle_ = nullptr;
  std::array<char, 4096> buffer_{};
};

using Versions = testing::Types<Abi6, Abi8, Abi9, Abi10, Abi11, Abi12>;

}  // namespace weft::nccl
