// The signs of a kernel module that gives NICs the memory of a GPU by its addresses.
#include "transport/verbs/peer_memory.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace weft::verbs {
namespace {

class PeerMemory : public testing::Test {
 protected:
  PeerMemory() {
    std::string name = testing::TempDir() + "weft_sys_XXXXXX";
    sys_ = mkdtemp(name.data());
  }
  ~PeerMemory() override { std::filesystem::remove_all(sys_); }
  void add(const std::string& folder) { std::filesystem::create_directories(sys_ + folder); }

  std::string sys_;
};

TEST_F(PeerMemory, IsNotThereByItself) {
  EXPECT_FALSE(has_peer_memory(sys_));
  EXPECT_FALSE(has_peer_memory(sys_ + "/nowhere"));
  add("/module/nvidia");  // the GPU's driver alone does not do it
  add("/module/ib_core");
  add("/kernel/mm/memory_peers");
  EXPECT_FALSE(has_peer_memory(sys_));
}

TEST_F(PeerMemory, IsThereWithAnyOfItsModules) {
  for (const char* folder :
       {"/module/nvidia_peermem", "/module/nv_peer_mem", "/kernel/mm/memory_peers/nv_mem",
        "/kernel/mm/memory_peers/nv_mem_nc", "/kernel/mm/memory_peers/amdkfd"}) {
    add(folder);
    EXPECT_TRUE(has_peer_memory(sys_)) << folder;
    std::filesystem::remove_all(sys_ + folder);
    EXPECT_FALSE(has_peer_memory(sys_)) << folder;
  }
}

}  // namespace
}  // namespace weft::verbs
