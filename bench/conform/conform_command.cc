#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "bench/conform/conform.h"
#include "bench/conform/report.h"
#include "bench/conform/runner.h"

namespace weft::bench {
namespace {

using namespace conform;

struct Arguments {
  SuiteOptions suite;
  std::string json;
  std::vector<std::string> environment;
  double patience_s = 10;
  bool list = false;
  bool in_process = false;
};

int refuse(const std::string& why) {
  std::cerr << "could not run: " << why << "\n";
  return 2;
}

int run_selected_here(const std::vector<Check>& checks, const SuiteOptions& options) {
  int code = 2;
  for (const Check& check : checks) {
    if (!selected(check.name, options.filter)) continue;
    CheckResult result{&check, Verdict::kPass, "", "", 0};
    try {
      run_in_this_process(check, options);
    } catch (const Skip& skip) {
      result.verdict = Verdict::kSkip;
      result.detail = skip.what();
    } catch (const std::exception& error) {
      result.verdict = Verdict::kFail;
      result.detail = error.what();
    }
    print_result(std::cout, result);
    if (result.verdict == Verdict::kFail) return 1;
    code = 0;
  }
  return code;
}

int run(Arguments& arguments) {
  const std::vector<Check> checks = all_checks();
  SuiteOptions& suite = arguments.suite;
  if (arguments.list) {
    print_list(std::cout, checks, suite.filter);
    return 0;
  }
  if (suite.context.plugin_path.empty()) return refuse("name the plugin's .so file");
  for (const std::string& assignment : arguments.environment) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0)
      return refuse("--env takes NAME=VALUE, not " + assignment);
    setenv(assignment.substr(0, equals).c_str(), assignment.substr(equals + 1).c_str(), 1);
  }
  // The loader takes a name without a slash for one on its search path; a file here is meant first.
  if (suite.context.plugin_path.find('/') == std::string::npos && std::ifstream(suite.context.plugin_path)) {
    suite.context.plugin_path = "./" + suite.context.plugin_path;
  }
  suite.context.patience = std::chrono::milliseconds(static_cast<int64_t>(arguments.patience_s * 1000));
  if (arguments.in_process) return run_selected_here(checks, suite);

  std::ofstream json_file;
  if (!arguments.json.empty() && arguments.json != "-") {
    json_file.open(arguments.json);
    if (!json_file) return refuse("cannot write " + arguments.json);
  }
  std::ostream& human = arguments.json == "-" ? std::cerr : std::cout;
  const PluginFacts facts = learn_facts(suite);
  print_header(human, suite, facts);
  std::vector<CheckResult> results;
  if (facts.problem.empty()) {
    results = run_suite(checks, suite, [&](const CheckResult& result) { print_result(human, result); });
  }
  print_summary(human, facts, results);
  if (arguments.json == "-")
    write_json(std::cout, suite, facts, results);
  else if (json_file.is_open())
    write_json(json_file, suite, facts, results);
  return exit_code_of(facts, results);
}

void add_options(CLI::App& command, Arguments& arguments) {
  command.add_option("plugin", arguments.suite.context.plugin_path, "The plugin's shared object");
  command.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command.add_option("--filter", arguments.suite.filter,
                     "Run only these checks: comma list of names or globs; a leading '-' leaves out");
  command.add_flag("--list", arguments.list, "Print the names and rules of the checks and run none");
  command
      .add_option("--abi", arguments.suite.context.abi, "Check this version of the plugin's tables (6 to 12)")
      ->check(CLI::Range(6, 12));
  command.add_option("--json", arguments.json, "Write the results as JSON to a file, or to stdout for '-'");
  command.add_option("--patience", arguments.patience_s, "Seconds without any progress that count as a hang")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command.add_option("--env", arguments.environment, "NAME=VALUE for the plugin; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--verbose", arguments.suite.verbose, "Show the plugin's whole log");
  command.add_flag("--in-process", arguments.in_process,
                   "Run the selected checks in this process, without deadlines, for a debugger");
}

constexpr char kDescription[] =
    "Check that a NCCL network plugin behaves as NCCL needs, on host memory. "
    "Exit status: 0 passed, 1 failed, 2 could not run.";

}  // namespace

void add_conform_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("conform", kDescription);
  add_options(*command, *arguments);
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

int conform_main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(kDescription);
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(arguments);
}

}  // namespace weft::bench
