// Preloaded into a program that uses libibverbs by Weft's table of functions: forces the queue pairs of a
// device into the error state when it is told to, as a NIC's firmware or a bug may, behind the back of their
// owner.
//
// WEFT_TEST_QUEUE_PAIR_ORDERS names a folder. A file HOST.DEVICE in it is an order for that device of this
// host: it is carried out within a moment, on every queue pair that is there, and the file removed.
//
// The functions that it watches are handed out by dlvsym(); the real ones do the work. Any thread.
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace {

struct Watched {
  std::mutex mutex;
  std::set<ibv_qp*> queue_pairs;
  decltype(&::ibv_create_qp) create = nullptr;
  decltype(&::ibv_destroy_qp) destroy = nullptr;
  decltype(&::ibv_modify_qp) modify = nullptr;
};
// Never destroyed: threads of the program outlive the end of main.
Watched& watched() {
  static auto* const all = new Watched;
  return *all;
}

ibv_qp* create_and_watch(ibv_pd* domain, ibv_qp_init_attr* attributes) {
  ibv_qp* const made = watched().create(domain, attributes);
  const std::lock_guard lock(watched().mutex);
  if (made != nullptr) watched().queue_pairs.insert(made);
  return made;
}

int forget_and_destroy(ibv_qp* queue_pair) {
  {
    const std::lock_guard lock(watched().mutex);
    watched().queue_pairs.erase(queue_pair);
  }
  return watched().destroy(queue_pair);
}

void force(const std::string& device) {
  const std::lock_guard lock(watched().mutex);
  int forced = 0, refused = 0;
  for (ibv_qp* queue_pair : watched().queue_pairs) {
    if (device != queue_pair->context->device->name) continue;
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_ERR;
    (watched().modify(queue_pair, &attributes, IBV_QP_STATE) == 0 ? forced : refused)++;
  }
  std::fprintf(stderr, "queue pairs of %s forced into the error state: %d, refused: %d\n", device.c_str(),
               forced, refused);
}

void take_orders(const std::string& folder) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
    std::set<std::string> devices;
    {
      const std::lock_guard lock(watched().mutex);
      for (ibv_qp* queue_pair : watched().queue_pairs) devices.insert(queue_pair->context->device->name);
    }
    for (const std::string& device : devices)
      if (std::remove((folder + "/" + host.data() + "." + device).c_str()) == 0) force(device);
  }
}

void start_taking_orders() {
  static std::once_flag started;
  std::call_once(started, [] {
    const char* const folder = std::getenv("WEFT_TEST_QUEUE_PAIR_ORDERS");
    if (folder != nullptr) std::thread(take_orders, std::string(folder)).detach();
  });
}

template <typename Function>
void* watch(void* found, Function& real, Function ours) {
  if (found == nullptr) return nullptr;
  real = reinterpret_cast<Function>(found);
  return reinterpret_cast<void*>(ours);
}

}  // namespace

extern "C" [[gnu::visibility("default")]] void* dlvsym(void* handle, const char* name,
                                                       const char* version) noexcept {
  static const auto real = reinterpret_cast<decltype(&::dlvsym)>(dlsym(RTLD_NEXT, "dlvsym"));
  void* const found = real(handle, name, version);
  if (std::strcmp(name, "ibv_create_qp") == 0) {
    start_taking_orders();
    return watch(found, watched().create, &create_and_watch);
  }
  if (std::strcmp(name, "ibv_destroy_qp") == 0) return watch(found, watched().destroy, &forget_and_destroy);
  if (std::strcmp(name, "ibv_modify_qp") == 0)
    watched().modify = reinterpret_cast<decltype(&::ibv_modify_qp)>(found);
  return found;
}
