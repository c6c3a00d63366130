#include "bench/job/job.h"

#include <cstdio>
#include <utility>

namespace weft::bench {
namespace {

void log_to_stderr(LogLevel, const std::string& message) {
  std::fprintf(stderr, "weft: %s\n", message.c_str());
}

Status at_rank(const JobPlace& place, const Status& status) {
  const std::string name = "rank " + std::to_string(place.rank);
  if (status.message().rfind(name, 0) == 0) return status;
  return {status.code(), name + ": " + status.message()};
}

}  // namespace

Result<std::unique_ptr<Job>> Job::create(const RankSetup& setup, const Config& config,
                                         const std::string& task) {
  std::unique_ptr<Job> job(new Job());
  job->place_ = setup.place;
  job->terminal_ = setup.terminal;
  auto bootstrap =
      Bootstrap::create({.place = setup.place,
                         .secret = config.secret,
                         .timeout = config.bootstrap_timeout,
                         .news = [](const std::string& line) { log_to_stderr(LogLevel::kInfo, line); },
                         .listen_socket = setup.listen_socket});
  if (!bootstrap) return at_rank(setup.place, bootstrap.status());
  job->bootstrap_ = std::move(*bootstrap);
  if (Status status = job->check_same(task); !status) return at_rank(setup.place, status);
  auto context = Context::create(config, log_to_stderr);
  if (!context) return at_rank(setup.place, context.status());
  job->context_ = std::move(*context);
  auto communicator = Communicator::create(*job->context_, *job->bootstrap_);
  if (!communicator) return at_rank(setup.place, communicator.status());
  job->communicator_ = std::move(*communicator);
  return job;
}

Status Job::check_same(const std::string& task) {
  auto tasks = gather_text(task);
  if (!tasks) return tasks.status();
  for (std::size_t other = 1; other < tasks->size(); ++other) {
    if ((*tasks)[other] == tasks->front()) continue;
    return {StatusCode::kBadConfiguration, "rank " + std::to_string(other) + " was started for \"" +
                                               (*tasks)[other] + "\", rank 0 for \"" + tasks->front() +
                                               "\": give all ranks the same flags"};
  }
  return Status::ok();
}

Result<std::vector<std::string>> Job::gather_text(const std::string& text) {
  auto blobs = bootstrap_->all_gather(std::as_bytes(std::span(text)));
  if (!blobs) return blobs.status();
  std::vector<std::string> texts;
  for (const auto& blob : *blobs) texts.emplace_back(reinterpret_cast<const char*>(blob.data()), blob.size());
  return texts;
}

}  // namespace weft::bench
