#include "bench/conform/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace weft::bench::conform {
namespace {

size_t count(const std::vector<CheckResult>& results, Verdict verdict) {
  return std::count_if(results.begin(), results.end(),
                       [&](const CheckResult& result) { return result.verdict == verdict; });
}

double total_seconds(const std::vector<CheckResult>& results) {
  double seconds = 0;
  for (const CheckResult& result : results) seconds += result.seconds;
  return seconds;
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "fail";
    case Verdict::kSkip:
      return "skip";
  }
  return "?";
}

}  // namespace

int exit_code_of(const PluginFacts& facts, const std::vector<CheckResult>& results) {
  if (!facts.problem.empty()) return 2;
  if (count(results, Verdict::kFail) > 0) return 1;
  return count(results, Verdict::kPass) > 0 ? 0 : 2;
}

void print_header(std::ostream& out, const SuiteOptions& options, const PluginFacts& facts) {
  if (!facts.problem.empty()) {
    out << "could not run: " << facts.problem << "\n";
    return;
  }
  std::string versions;
  for (int version : facts.versions) versions += fmt::format("{}v{}", versions.empty() ? "" : " ", version);
  out << fmt::format("# {}: \"{}\", exports {}, checked as v{}, {} device{}\n", options.context.plugin_path,
                     facts.name, versions, facts.abi, facts.devices, facts.devices == 1 ? "" : "s");
}

void print_result(std::ostream& out, const CheckResult& result) {
  out << fmt::format("{}  {:<36} {:6.2f} s", result.verdict == Verdict::kFail ? "FAIL" : word(result.verdict),
                     result.check->name, result.seconds);
  if (result.verdict != Verdict::kFail) {
    out << (result.detail.empty() ? "" : "  " + result.detail) << "\n" << std::flush;
    return;
  }
  out << "\n      rule: " << result.check->rule << "\n      what happened: " << result.detail << "\n";
  std::istringstream lines(result.output);
  for (std::string line; std::getline(lines, line);) out << "      | " << line << "\n";
  out << std::flush;
}

void print_summary(std::ostream& out, const PluginFacts& facts, const std::vector<CheckResult>& results) {
  if (!facts.problem.empty()) return;
  if (results.empty()) {
    out << "could not run: no check has a name that the filter matches (see --list)\n";
    return;
  }
  const size_t failed = count(results, Verdict::kFail);
  out << fmt::format("# {}: {} passed, {} failed, {} skipped, {:.1f} s\n", failed > 0 ? "FAIL" : "PASS",
                     count(results, Verdict::kPass), failed, count(results, Verdict::kSkip),
                     total_seconds(results));
}

void print_list(std::ostream& out, const std::vector<Check>& checks, const std::string& filter) {
  for (const Check& check : checks) {
    if (selected(check.name, filter)) out << fmt::format("{:<36} {}\n", check.name, check.rule);
  }
}

void write_json(std::ostream& out, const SuiteOptions& options, const PluginFacts& facts,
                const std::vector<CheckResult>& results) {
  using nlohmann::ordered_json;
  ordered_json checks = ordered_json::array();
  for (const CheckResult& result : results) {
    checks.push_back({{"name", result.check->name},
                      {"rule", result.check->rule},
                      {"verdict", word(result.verdict)},
                      {"detail", result.detail},
                      {"output", result.output},
                      {"seconds", result.seconds}});
  }
  const ordered_json report = {{"plugin", options.context.plugin_path},
                               {"name", facts.name},
                               {"exported_versions", facts.versions},
                               {"checked_version", facts.abi},
                               {"devices", facts.devices},
                               {"could_not_run", facts.problem},
                               {"passed", count(results, Verdict::kPass)},
                               {"failed", count(results, Verdict::kFail)},
                               {"skipped", count(results, Verdict::kSkip)},
                               {"seconds", total_seconds(results)},
                               {"exit_code", exit_code_of(facts, results)},
                               {"checks", std::move(checks)}};
  // What a plugin prints need not be UTF-8.
  out << report.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

}  // namespace weft::bench::conform
