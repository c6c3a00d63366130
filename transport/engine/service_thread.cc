#include "transport/engine/service_thread.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace weft::engine {

std::thread start_service_thread(const char* name, std::function<void()> body) {
  sigset_t all_signals;
  sigset_t before;
  sigfillset(&all_signals);
  pthread_sigmask(SIG_SETMASK, &all_signals, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace weft::engine
