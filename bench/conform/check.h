// A check: one rule of NCCL, a name that stays, and a function that throws Failure when the plugin breaks the
// rule.
//
// The runner calls each check in a process of its own, in which no plugin was loaded before; a check may fork
// before it opens a session. Checks run on the process's main thread.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugins/nccl_net/abi/types.h"

namespace weft::bench::conform {

// The plugin broke the rule; the text says how.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The plugin does nothing any more.
class Hang : public Failure {
 public:
  using Failure::Failure;
};

// The plugin does not offer what the check is about; the text says what.
class Skip : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CheckContext {
  std::string plugin_path;
  int abi = 0;  // 0: the highest that the plugin exports, as NCCL picks
  // How long nothing at all may move before a check calls it a hang. Not a speed limit: any progress restarts
  // it.
  std::chrono::milliseconds patience{10000};
  // Set by a check that passes with something worth knowing.
  std::string remark;
};

// The two checks that others build on: the calls work at all for a friendly caller; they work for NCCL.
inline constexpr const char* kNeedsTransfer = "connect_and_transfer";
inline constexpr const char* kNeedsWindow = "message_window";

struct Check {
  const char* name;
  const char* rule;  // one line: what NCCL relies on
  void (*run)(CheckContext& context);
  int timeout_s = 60;
  const char* needs = kNeedsWindow;  // not run when that check failed; nullptr: always run
};

std::vector<Check> loading_checks();
std::vector<Check> property_checks();
std::vector<Check> connection_checks();
std::vector<Check> message_checks();
std::vector<Check> request_checks();
std::vector<Check> group_checks();
std::vector<Check> registration_checks();
std::vector<Check> thread_checks();
std::vector<Check> close_checks();
std::vector<Check> leak_checks();
std::vector<Check> process_checks();

// All of them, in the order in which they run.
std::vector<Check> all_checks();

// Throw Failure with `text`, unless what is required holds.
void require(bool holds, const std::string& text);
void require_success(nccl::Result result, const std::string& call);
// For hot loops: the text is made only when it is needed.
template <class MakeText>
requires requires(MakeText make_text) {
  std::string(make_text());
}
void require(bool holds, MakeText make_text) {
  if (!holds) throw Failure(make_text());
}

// For the black box: what the check is doing, shown when it hangs or crashes.
void step(const std::string& what);

// Ends a loop in which nothing moves. Yields the processor as NCCL's idle progress thread does.
class Patience {
 public:
  explicit Patience(const CheckContext& context)
      : limit_(context.patience), since_(std::chrono::steady_clock::now()) {}
  void moved() {
    since_ = std::chrono::steady_clock::now();
    idle_rounds_ = 0;
  }
  // Throws Hang when nothing has moved for the context's patience; `describe` says what is waited for.
  template <class Describe>
  void wait(Describe describe) {
    if (idle_round_ends()) expired(describe());
  }

 private:
  bool idle_round_ends();
  [[noreturn]] void expired(const std::string& what) const;

  std::chrono::milliseconds limit_;
  std::chrono::steady_clock::time_point since_;
  unsigned idle_rounds_ = 0;
};

}  // namespace weft::bench::conform
