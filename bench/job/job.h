// A rank of a running job: its place, fabric and communicator, in the order in which they come and go.
//
// One thread. Errors of create() name the rank.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weft/bootstrap.h"
#include "weft/communicator.h"
#include "weft/config.h"
#include "weft/context.h"

namespace weft::bench {

// What is known of a rank before it has joined.
struct RankSetup {
  JobPlace place;
  int listen_socket = -1;  // rank 0 of local ranks: see BootstrapOptions
  int terminal = -1;       // where progress may be shown; -1: nowhere
};

class Job {
 public:
  // `task` is what this rank was asked to do, in full. kBadConfiguration if another rank was asked for
  // something else: they would wait for each other in vain.
  static Result<std::unique_ptr<Job>> create(const RankSetup& setup, const Config& config,
                                             const std::string& task);

  int rank() const { return bootstrap_->rank(); }
  int size() const { return bootstrap_->size(); }
  const JobPlace& place() const { return place_; }
  int terminal() const { return terminal_; }
  Bootstrap& bootstrap() { return *bootstrap_; }
  Context& context() { return *context_; }
  Communicator& communicator() { return *communicator_; }

  // A plain value of every rank, by rank.
  template <typename T>
  Result<std::vector<T>> gather(const T& value);
  Result<std::vector<std::string>> gather_text(const std::string& text);

 private:
  Job() = default;
  Status check_same(const std::string& task);

  JobPlace place_;
  int terminal_ = -1;
  std::unique_ptr<Bootstrap> bootstrap_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Communicator> communicator_;
};

template <typename T>
Result<std::vector<T>> Job::gather(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  auto texts = gather_text(std::string(reinterpret_cast<const char*>(&value), sizeof value));
  if (!texts) return texts.status();
  std::vector<T> values;
  for (const std::string& text : *texts) {
    T one{};
    if (text.size() != sizeof one)
      return Status(StatusCode::kProtocolError, "ranks run different versions of weft");
    text.copy(reinterpret_cast<char*>(&one), sizeof one);
    values.push_back(one);
  }
  return values;
}

}  // namespace weft::bench
