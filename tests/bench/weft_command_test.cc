// The weft command with real processes over the loopback: results, launchers, and every way in which a job
// can end.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/run_program.h"

namespace weft {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing_support::all_gone;
using testing_support::Program;
using testing_support::ProgramResult;
using testing_support::run_program;
using Words = std::vector<std::string>;

// The words of each row of a table.
std::vector<Words> rows_of(const std::string& output) {
  std::vector<Words> rows;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    rows.emplace_back(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  }
  return rows;
}

std::string temporary_file(const std::string& name) {
  return testing::TempDir() + "weft_" + std::to_string(::getpid()) + "_" + name;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  auto json = nlohmann::json::parse(file, nullptr, false);
  ::unlink(path.c_str());
  return json;
}

// A socket that holds a port and never answers.
class Squatter {
 public:
  Squatter() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(socket_, 16), 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  ~Squatter() { ::close(socket_); }
  std::string port() const { return std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

TEST(Weft, SaysItsVersion) {
  const auto result = run_program({"--version"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_THAT(result.output, ContainsRegex("^weft [0-9]+\\.[0-9]+\\.[0-9]+ commit=[0-9a-z]+"));
}

TEST(Weft, WithoutASubcommandShowsWhatThereIs) {
  const auto top = run_program({});
  EXPECT_EQ(top.exit_status, 2);
  for (const char* name : {"perf", "demo", "conform"}) EXPECT_THAT(top.errors, HasSubstr(name));
  const auto perf = run_program({"perf"});
  EXPECT_EQ(perf.exit_status, 2);
  for (const char* name : {"weft perf", "all_reduce", "all_to_all", "sendrecv", "pingpong"})
    EXPECT_THAT(perf.errors, HasSubstr(name));
  EXPECT_EQ(run_program({"perf", "--help"}).exit_status, 0);
}

TEST(Weft, KnowsWhichSubcommandWasMeant) {
  const auto words_of = [](const Words& words) {
    const auto result = run_program(words);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(words);
    return result.errors;
  };
  EXPECT_THAT(words_of({"perf", "alreduce", "--ranks", "2"}), HasSubstr("did you mean all_reduce?"));
  EXPECT_THAT(words_of({"perf", "all_reduce_perf"}), HasSubstr("did you mean all_reduce?"));
  EXPECT_THAT(words_of({"perf", "alltoall"}), HasSubstr("did you mean all_to_all?"));
  EXPECT_THAT(words_of({"perf", "ping-pong"}), HasSubstr("did you mean pingpong?"));
  EXPECT_THAT(words_of({"pref", "all_reduce"}), HasSubstr("did you mean perf?"));
  const std::string broadcast = words_of({"perf", "broadcast"});
  EXPECT_THAT(broadcast, testing::Not(HasSubstr("did you mean")));
  EXPECT_THAT(broadcast, HasSubstr("all_reduce, all_to_all, sendrecv, pingpong"));
}

TEST(WeftPerf, AllReduceBetweenFourRanksIsRightAndHasThirteenColumns) {
  const auto result =
      run_program({"perf", "all_reduce", "--ranks", "4", "-b", "4", "-e", "1M", "-f", "8", "-n", "2"});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  const auto rows = rows_of(result.output);
  ASSERT_EQ(rows.size(), 7u) << result.output;
  for (const Words& row : rows) {
    ASSERT_EQ(row.size(), 13u);
    EXPECT_EQ(row[8], "0");
    EXPECT_EQ(row[12], "0");
  }
  EXPECT_THAT(result.output, HasSubstr("# Out of bounds values : 0 OK"));
}

TEST(WeftPerf, AllReduceInEveryTypeAndOperation) {
  const auto result = run_program({"perf", "all_reduce", "--ranks", "3", "-b", "1000", "-e", "1000", "-d",
                                   "all", "-o", "all", "-n", "1"});
  EXPECT_EQ(result.exit_status, 0) << result.output << result.errors;
  EXPECT_EQ(rows_of(result.output).size(), 60u);
}

TEST(WeftPerf, AllToAllAndSendrecvShowNotAvailableInPlace) {
  for (const char* collective : {"all_to_all", "sendrecv"}) {
    const auto result =
        run_program({"perf", collective, "--ranks", "3", "-b", "0", "-e", "300K", "-i", "100K", "-n", "2"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    const auto rows = rows_of(result.output);
    ASSERT_EQ(rows.size(), 4u) << result.output;
    for (const Words& row : rows) {
      ASSERT_EQ(row.size(), 13u);
      EXPECT_EQ(row[3], std::string(collective) == "sendrecv" ? "sum" : "none");
      EXPECT_EQ(row[8], "0");
      EXPECT_EQ(row[12], "N/A");
    }
  }
}

// As in nccl-tests, whose alltoall names no reduction and whose sendrecv does.
TEST(WeftPerf, EveryOperationGivesSendrecvARowAndAllToAllOne) {
  const auto ops_of = [](const char* collective) {
    Words ops;
    for (const Words& row : rows_of(
             run_program({"perf", collective, "--ranks", "2", "-b", "64", "-e", "64", "-n", "1", "-o", "all"})
                 .output))
      ops.push_back(row.at(3));
    return ops;
  };
  EXPECT_EQ(ops_of("sendrecv"), (Words{"sum", "prod", "max", "min", "avg"}));
  EXPECT_EQ(ops_of("all_to_all"), (Words{"none"}));
}

TEST(WeftPerf, WithoutChecksTheTableSaysSo) {
  const auto result = run_program({"perf", "all_reduce", "--ranks", "2", "-b", "64", "-e", "64", "-c", "0"});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  const auto rows = rows_of(result.output);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0][8], "N/A");
}

TEST(WeftPerf, JsonHasProperTypesAndTheCountersOfEveryPath) {
  const std::string path = temporary_file("perf.json");
  const auto result = run_program(
      {"perf", "all_reduce", "--ranks", "2", "-b", "1M", "-e", "2M", "-f", "2", "-n", "2", "-J", path});
  ASSERT_EQ(result.exit_status, 0) << result.errors;
  const auto json = read_json(path);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_TRUE(json["commit"].is_string());
  EXPECT_EQ(json["config"]["iterations"], 2);
  EXPECT_EQ(json["launcher"], "weft --ranks");
  ASSERT_EQ(json["results"].size(), 2u);
  const auto& row = json["results"][1];
  EXPECT_EQ(row["size"], 2097152);
  EXPECT_TRUE(row["size"].is_number_integer());
  EXPECT_EQ(row["root"], -1);
  EXPECT_TRUE(row["out_of_place"]["time"].is_number_float());
  EXPECT_TRUE(row["out_of_place"]["nwrong"].is_number_integer());
  EXPECT_TRUE(json["out_of_bounds"]["okay"].is_boolean());
  // Every byte that was sent is in some path's counter.
  ASSERT_EQ(json["ranks"].size(), 2u);
  std::uint64_t sent = 0;
  for (const auto& connection : json["ranks"][0]["connections"]) {
    EXPECT_EQ(connection["peer_rank"], 1);
    for (const auto& one : connection["paths"]) sent += one["bytes_sent"].get<std::uint64_t>();
  }
  // Each row: 2 timed, 1 before and 1 checked run, twice; warm-up once. Two ranks send S each.
  EXPECT_GE(sent, (2u * 4 + 1) * 3 * 1048576);
}

TEST(WeftPerf, PingpongMeasuresRoundTripsBetweenTwoRanks) {
  const std::string path = temporary_file("pingpong.json");
  const auto result = run_program({"perf", "pingpong", "--ranks", "2", "-b", "8", "-e", "64K", "-f", "8",
                                   "-n", "20", "-w", "2", "-J", path});
  ASSERT_EQ(result.exit_status, 0) << result.errors;
  EXPECT_EQ(rows_of(result.output).size(), 5u) << result.output;
  const auto json = read_json(path);
  const auto& row = json["results"][0];
  EXPECT_EQ(row["size"], 8);
  EXPECT_EQ(row["nwrong"], 0);
  EXPECT_DOUBLE_EQ(row["half_round_trip_us"]["median"].get<double>() * 2,
                   row["round_trip_us"]["median"].get<double>());
}

TEST(WeftPerf, RefusesWhatItDoesNotKnow) {
  const Words refused[] = {
      {"perf", "all_reduce", "-z", "1"},
      {"perf", "all_reduce", "-b", "12Q"},
      {"perf", "all_reduce", "-b", "2M", "-e", "1M"},
      {"perf", "all_reduce", "-b", "0", "-e", "1M", "-f", "2"},
      {"perf", "all_reduce", "-b", "0", "-e", "1M", "-i", "0"},
      {"perf", "all_reduce", "-i", "1", "-f", "2"},
      {"perf", "all_reduce", "-d", "float8"},
      {"perf", "all_reduce", "-o", "mulsum"},
      {"perf", "all_reduce", "-n", "0"},
      {"perf", "all_reduce", "-g", "8"},
      {"perf", "all_reduce", "surplus"},
      {"perf", "broadcast"},
      {"perf"},
      {},
  };
  for (const Words& words : refused) {
    const auto result = run_program(words);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(words) << result.errors;
    EXPECT_FALSE(result.errors.empty()) << testing::PrintToString(words);
    EXPECT_THAT(rows_of(result.output), testing::IsEmpty());
  }
}

TEST(WeftPerf, OfAFlagThatStandsTwiceTheLastCounts) {
  const auto result =
      run_program({"perf", "all_reduce", "-b", "8",  "-b",      "16", "--maxbytes", "4",  "-e",  "16", "-n",
                   "5",    "--iters",    "1",  "-d", "int8",    "-d", "double",     "-o", "max", "-o", "sum",
                   "-c",   "0",          "-c", "1",  "--ranks", "3",  "--ranks",    "2"});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  const auto rows = rows_of(result.output);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(Words(rows[0].begin(), rows[0].begin() + 4), (Words{"16", "2", "double", "sum"}));
  EXPECT_EQ(rows[0][8], "0");
  EXPECT_THAT(result.output, HasSubstr("Rank  1"));
  EXPECT_THAT(result.output, testing::Not(HasSubstr("Rank  2")));
}

TEST(WeftConform, TakesTheLastOfAFlagButEveryVariableAndOnePlugin) {
  const auto list =
      run_program({"conform", "--list", "--filter", "nothing*", "--filter", "process_peer_killed"});
  EXPECT_EQ(list.exit_status, 0) << list.errors;
  EXPECT_THAT(list.output, HasSubstr("process_peer_killed"));
  const auto variables = run_program({"conform", "x.so", "--env", "A=1", "--env", "wrong", "--env", "B=2"});
  EXPECT_EQ(variables.exit_status, 2);
  EXPECT_THAT(variables.errors, HasSubstr("not wrong"));
  EXPECT_EQ(run_program({"conform", "a.so", "b.so"}).exit_status, 2);
}

TEST(WeftSim, RunsASeedAScenarioAndNothingElse) {
  const auto seed = run_program({"sim", "--seed", "7"});
  EXPECT_EQ(seed.exit_status, 0) << seed.errors;
  EXPECT_EQ(rows_of(seed.output).size(), 1u) << seed.output;
  EXPECT_EQ(rows_of(run_program({"sim", "--seed", "7", "--count", "2"}).output).size(), 3u);
  EXPECT_EQ(run_program({"sim", "--scenario", "plane_cut"}).exit_status, 0);
  EXPECT_THAT(run_program({"sim", "--list"}).output, HasSubstr("every_plane_cut"));
  const auto refused = run_program({"sim", "--scenario", "nonsense"});
  EXPECT_EQ(refused.exit_status, 2);
  EXPECT_THAT(refused.errors, HasSubstr("plane_cut"));
}

// Long enough to be ended by the test.
const Words kLongRun{"perf", "all_reduce", "--ranks", "3", "-b", "4M", "-e", "4M", "-n", "1000000"};

// The processes of the ranks, in order, once they are at work.
std::vector<pid_t> wait_for_ranks(Program& program, std::size_t ranks) {
  while (program.output_so_far().find("4194304") == std::string::npos) {
    if (program.children().size() < ranks && !program.output_so_far().empty()) break;
  }
  return program.children();
}

TEST(WeftPerf, ARankThatDiesEndsAllWithAClearError) {
  Program program(kLongRun);
  const auto ranks = wait_for_ranks(program, 3);
  ASSERT_EQ(ranks.size(), 3u);
  ::kill(ranks[1], SIGKILL);
  const ProgramResult result = program.wait();
  EXPECT_NE(result.exit_status, 0);
  EXPECT_THAT(result.errors, ContainsRegex("rank 1 \\(pid [0-9]+\\) was killed by signal 9"));
  // The others noticed, or were stopped: the first neighbour names the rank that it lost.
  EXPECT_THAT(result.errors, HasSubstr("peer rank 1"));
  EXPECT_TRUE(all_gone(ranks));
}

TEST(WeftPerf, LeavesNoRankBehindWhenItIsTerminatedOrKilled) {
  for (const int signal : {SIGTERM, SIGINT, SIGKILL}) {
    Program program(kLongRun);
    const auto ranks = wait_for_ranks(program, 3);
    ASSERT_EQ(ranks.size(), 3u);
    program.signal(signal);
    EXPECT_EQ(program.wait().exit_status, 128 + signal);
    EXPECT_TRUE(all_gone(ranks));
  }
}

TEST(WeftPerf, JoinsAJobWhoseMasterPortIsHeldByAForeignServer) {
  Squatter agent;
  const Words words{"perf", "all_reduce", "-b", "64K", "-e", "64K"};
  std::map<std::string, std::string> variables{{"WORLD_SIZE", "2"},
                                               {"MASTER_ADDR", "127.0.0.1"},
                                               {"MASTER_PORT", agent.port()},
                                               {"TORCHELASTIC_RUN_ID", "none"},
                                               {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  // Once as torchrun does it, once with nothing to tell that the port is taken.
  for (const char* use_agent_store : {"True", "False"}) {
    variables["TORCHELASTIC_USE_AGENT_STORE"] = use_agent_store;
    variables["RANK"] = "0";
    Program zero(words, variables);
    variables["RANK"] = "1";
    Program one(words, variables);
    const ProgramResult of_zero = zero.wait();
    const ProgramResult of_one = one.wait();
    EXPECT_EQ(of_zero.exit_status, 0) << of_zero.errors;
    EXPECT_EQ(of_one.exit_status, 0) << of_one.errors;
    EXPECT_EQ(rows_of(of_zero.output).size(), 1u);
    EXPECT_EQ(of_one.output, "");
    EXPECT_THAT(of_zero.output, HasSubstr("Rank  1"));
  }
}

TEST(WeftPerf, JoinsAJobOfMpirunOnOneHost) {
  const Words words{"perf", "sendrecv", "-b", "64K", "-e", "64K"};
  std::map<std::string, std::string> variables{{"OMPI_COMM_WORLD_SIZE", "2"},
                                               {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  variables["OMPI_COMM_WORLD_RANK"] = "1";
  Program one(words, variables);
  variables["OMPI_COMM_WORLD_RANK"] = "0";
  Program zero(words, variables);
  const ProgramResult of_zero = zero.wait();
  EXPECT_EQ(of_zero.exit_status, 0) << of_zero.errors;
  EXPECT_EQ(one.wait().exit_status, 0);
  EXPECT_THAT(of_zero.output, HasSubstr("Rank  1"));
}

TEST(WeftPerf, RefusesToRunAsSeveralSingleOnes) {
  const auto slurm = run_program({"perf", "all_reduce"}, {{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}});
  EXPECT_EQ(slurm.exit_status, 2);
  EXPECT_THAT(slurm.errors, HasSubstr("MASTER_ADDR"));
  const auto plain = run_program({"perf", "all_reduce"}, {{"WORLD_SIZE", "4"}, {"RANK", "0"}});
  EXPECT_EQ(plain.exit_status, 2);
  const auto both =
      run_program({"perf", "all_reduce", "--ranks", "2"},
                  {{"WORLD_SIZE", "2"}, {"RANK", "0"}, {"MASTER_ADDR", "x"}, {"MASTER_PORT", "5"}});
  EXPECT_EQ(both.exit_status, 2);
  EXPECT_THAT(both.errors, HasSubstr("--ranks"));
}

TEST(WeftPerf, WarnsOnceOfVariablesWithoutEffect) {
  const auto result = run_program({"perf", "sendrecv", "--ranks", "2", "-b", "8", "-e", "8"},
                                  {{"WEFT_FROBNICATE", "1"}, {"WEFT_PORT_80_TCP", "x"}});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("WEFT_FROBNICATE"));
  EXPECT_EQ(result.errors.find("WEFT_FROBNICATE"), result.errors.rfind("WEFT_FROBNICATE")) << result.errors;
  EXPECT_THAT(result.errors, testing::Not(HasSubstr("WEFT_PORT")));
}

TEST(WeftPerf, ASecretIsKeptByAllRanks) {
  const auto result = run_program({"perf", "all_to_all", "--ranks", "2", "-b", "64K", "-e", "64K"},
                                  {{"WEFT_SECRET", "fnord-7"}});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  EXPECT_THAT(result.output + result.errors, testing::Not(HasSubstr("fnord-7")));
}

TEST(WeftDemo, SurvivesAPathCutWithoutAWrongElement) {
  const auto result = run_program({"demo", "--size", "8M"});
  EXPECT_EQ(result.exit_status, 0) << result.output << result.errors;
  EXPECT_THAT(result.output, HasSubstr("<- the one that was cut"));
  EXPECT_THAT(result.output, HasSubstr("# wrong elements                       : 0 OK"));
  EXPECT_THAT(result.output, HasSubstr("# path cut survived and revived        : OK"));
}

}  // namespace
}  // namespace weft
