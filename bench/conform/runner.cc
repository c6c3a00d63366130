#include "bench/conform/runner.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <sstream>
#include <unordered_set>

#include "bench/conform/blackbox.h"
#include "bench/conform/plugin_library.h"
#include "bench/conform/plugin_log.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

using Work = std::function<std::string(CheckContext&)>;

struct Outcome {
  Verdict verdict = Verdict::kFail;
  bool hung = false;
  std::string text;
  std::string output;
  double seconds = 0;
};

// The child's answer: one letter, then the text. No answer means that it died.
[[noreturn]] void run_child(const SuiteOptions& options, const Work& work, int answer_fd, int output_fd) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (!options.verbose) {
    dup2(output_fd, STDOUT_FILENO);
    dup2(output_fd, STDERR_FILENO);
  }
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  set_plugin_log_verbose(options.verbose);
  CheckContext context = options.context;
  std::string answer;
  try {
    const std::string text = work(context);
    answer = "P" + text;
  } catch (const Skip& skip) {
    answer = std::string("S") + skip.what();
  } catch (const Hang& hang) {
    answer = std::string("H") + hang.what();
  } catch (const std::exception& error) {
    answer = std::string("F") + error.what();
  }
  [[maybe_unused]] const ssize_t written = write(answer_fd, answer.data(), answer.size());
  _exit(0);
}

std::string tail_of(int fd) {
  constexpr off_t kTailBytes = 2000;
  const off_t end = lseek(fd, 0, SEEK_END);
  const off_t begin = end > kTailBytes ? end - kTailBytes : 0;
  std::string text(end - begin, '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), begin);
  text.resize(got > 0 ? got : 0);
  return text;
}

std::string with_last_step(std::string text) {
  const std::string last = Blackbox::last_step();
  if (!last.empty()) text += " (while: " + last + ")";
  return text;
}

// Why the child must be stopped now, if it must.
std::optional<std::string> overdue(const CheckContext& context, int64_t started_ns, int timeout_s) {
  const int64_t now_ns = Blackbox::now_ns();
  const Blackbox::CallInProgress call = Blackbox::oldest_call();
  const bool may_be_slow = call.name == "init" || call.name == "dlopen" || call.name == "finalize";
  // Never below this: on a loaded machine a call that does not block may still lie preempted for a while.
  constexpr int64_t kLeastCallLimitMs = 4000;
  const int64_t call_limit_ns =
      std::max<int64_t>(context.patience.count(), kLeastCallLimitMs) * 1'000'000 * (may_be_slow ? 3 : 1);
  if (!call.name.empty() && now_ns - call.since_ns > call_limit_ns) {
    return fmt::format("{}() has not returned for {:.0f} s: it blocks", call.name,
                       static_cast<double>(now_ns - call.since_ns) / 1e9);
  }
  if (now_ns - started_ns > timeout_s * int64_t{1'000'000'000}) {
    return fmt::format("hung: no end after {} s{}", timeout_s,
                       call.name.empty() ? "" : ", in " + call.name + "()");
  }
  return std::nullopt;
}

Outcome run_in_child(const SuiteOptions& options, int timeout_s, const Work& work) {
  Blackbox::install();
  Outcome outcome;
  int answer[2];
  const int output_fd = memfd_create("conform-output", MFD_CLOEXEC);
  if (output_fd < 0 || pipe(answer) != 0) throw std::runtime_error("no file descriptors to run a check");
  std::fflush(nullptr);
  const int64_t started_ns = Blackbox::now_ns();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork a process for a check");
  if (child == 0) {
    close(answer[0]);
    run_child(options, work, answer[1], output_fd);
  }
  setpgid(child, child);
  close(answer[1]);

  std::string said;
  std::optional<std::string> stopped;
  int status = 0;
  bool reaped = false;
  for (;;) {
    pollfd waiting{answer[0], POLLIN, 0};
    if (poll(&waiting, 1, reaped ? 0 : 50) > 0) {
      char part[1024];
      const ssize_t got = read(answer[0], part, sizeof(part));
      if (got <= 0) break;
      said.append(part, got);
      continue;
    }
    if (reaped) break;
    // A second process of the check may outlive the first and hold the pipe open. What the first has said
    // just before its end is still to be read.
    reaped = waitpid(child, &status, WNOHANG) == child;
    if (!reaped) stopped = overdue(options.context, started_ns, timeout_s);
    if (stopped) break;
  }
  kill(-child, SIGKILL);
  if (!reaped) waitpid(child, &status, 0);
  outcome.seconds = static_cast<double>(Blackbox::now_ns() - started_ns) / 1e9;
  close(answer[0]);

  outcome.hung = stopped || (!said.empty() && said[0] == 'H');
  if (stopped) {
    outcome.text = with_last_step(*stopped);
  } else if (said.empty()) {
    const Blackbox::CallInProgress call = Blackbox::oldest_call();
    const std::string where = call.name.empty() ? "" : " in " + call.name + "()";
    outcome.text = with_last_step(
        WIFSIGNALED(status) ? fmt::format("crashed with signal {} ({}){}", WTERMSIG(status),
                                          strsignal(WTERMSIG(status)), where)
                            : fmt::format("the process ended with status {}{}", WEXITSTATUS(status), where));
  } else {
    outcome.verdict = said[0] == 'P' ? Verdict::kPass : said[0] == 'S' ? Verdict::kSkip : Verdict::kFail;
    outcome.text = said.substr(1);
    if (outcome.verdict == Verdict::kFail) outcome.text = with_last_step(outcome.text);
  }
  if (outcome.verdict == Verdict::kFail) outcome.output = tail_of(output_fd);
  close(output_fd);
  return outcome;
}

bool matches(const std::string& name, const std::string& pattern) {
  return name == pattern || fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

// Lines "versions 12 11", "name x", "abi 12", "devices 1", "problem text".
std::string describe_plugin(CheckContext& context) {
  std::unique_ptr<PluginLibrary> library;
  try {
    library = std::make_unique<PluginLibrary>(context.plugin_path);
  } catch (const std::runtime_error& error) {
    return fmt::format("problem cannot load {}: {}", context.plugin_path, error.what());
  }
  const std::vector<int> versions = library->versions();
  std::string facts = "versions";
  for (int version : versions) facts += fmt::format(" {}", version);
  auto table = library->table(context.abi);
  if (versions.empty()) {
    facts += "\nproblem " + context.plugin_path + " exports none of ncclNetPlugin_v6 to ncclNetPlugin_v12";
  } else if (!table) {
    facts += fmt::format("\nproblem {} does not export ncclNetPlugin_v{}", context.plugin_path, context.abi);
  } else {
    facts += fmt::format("\nname {}\nabi {}", table->name() ? table->name() : "(no name)", table->abi());
    void* communicator = nullptr;
    const Result result =
        table->missing_functions().empty() ? table->init(&communicator, 1) : Result::kSuccess;
    int count = 0;
    if (result != Result::kSuccess) {
      facts += fmt::format("\nproblem init returned {}: NCCL would not use the plugin on this machine",
                           result_name(result));
    } else if (table->missing_functions().empty() &&
               (table->devices(&count) != Result::kSuccess || count <= 0)) {
      facts += "\nproblem the plugin finds no device on this machine, so NCCL would not use it";
    }
    facts += fmt::format("\ndevices {}", count);
  }
  new std::unique_ptr<PluginLibrary>(std::move(library));  // unloading is what a check judges
  return facts;
}

}  // namespace

bool selected(const std::string& name, const std::string& filter) {
  bool any_positive = false;
  bool chosen = false;
  std::istringstream items(filter);
  for (std::string item; std::getline(items, item, ',');) {
    if (item.empty()) continue;
    if (item[0] == '-') {
      if (matches(name, item.substr(1))) return false;
    } else {
      any_positive = true;
      chosen = chosen || matches(name, item);
    }
  }
  return chosen || !any_positive;
}

PluginFacts learn_facts(const SuiteOptions& options) {
  PluginFacts facts;
  const Outcome outcome = run_in_child(options, 60, describe_plugin);
  std::istringstream lines(outcome.verdict == Verdict::kPass ? outcome.text : "");
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    const std::string key = line.substr(0, space);
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    if (key == "problem") facts.problem = value;
    if (key == "name") facts.name = value;
    if (key == "abi") facts.abi = std::stoi(value);
    if (key == "devices") facts.devices = std::stoi(value);
    if (key == "versions") {
      std::istringstream numbers(value);
      for (int version; numbers >> version;) facts.versions.push_back(version);
    }
  }
  return facts;
}

std::vector<CheckResult> run_suite(const std::vector<Check>& checks, const SuiteOptions& options,
                                   const std::function<void(const CheckResult&)>& finished) {
  // A plugin that hangs in one place tends to hang in many, and its user waits for each. After a few, be
  // shorter.
  constexpr int kHangsWithFullPatience = 5;
  constexpr int kLessPatience = 4;
  std::vector<CheckResult> results;
  SuiteOptions current = options;
  int hangs = 0;
  std::unordered_set<std::string> unusable;  // failed, or not run because of another that failed
  for (const Check& check : checks) {
    if (!selected(check.name, options.filter)) continue;
    CheckResult result;
    result.check = &check;
    const bool blocked = check.needs && unusable.contains(check.needs);
    if (blocked) {
      result.verdict = Verdict::kSkip;
      result.detail = fmt::format("not run, because {} did not pass", check.needs);
    } else {
      // A longer patience is asked for on slow machines, where everything takes longer.
      const int timeout_s = std::max<int>(
          check.timeout_s, static_cast<int>(options.context.patience.count() * check.timeout_s / 10000));
      Outcome outcome = run_in_child(current, timeout_s, [&](CheckContext& context) {
        check.run(context);
        return context.remark;
      });
      result.verdict = outcome.verdict;
      result.detail = std::move(outcome.text);
      result.output = std::move(outcome.output);
      result.seconds = outcome.seconds;
      if (outcome.hung && ++hangs == kHangsWithFullPatience) current.context.patience /= kLessPatience;
    }
    if (blocked || result.verdict == Verdict::kFail) unusable.insert(check.name);
    finished(result);
    results.push_back(std::move(result));
  }
  return results;
}

void run_in_this_process(const Check& check, const SuiteOptions& options) {
  Blackbox::install();
  set_plugin_log_verbose(options.verbose);
  CheckContext context = options.context;
  check.run(context);
}

}  // namespace weft::bench::conform
