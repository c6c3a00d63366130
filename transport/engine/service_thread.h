// Threads that the library runs beside the application's.
#pragma once

#include <functional>
#include <thread>

namespace weft::engine {

// Signals are the application's: none is handled on the thread. `name` has at most 15 letters, for debuggers.
std::thread start_service_thread(const char* name, std::function<void()> body);

}  // namespace weft::engine
